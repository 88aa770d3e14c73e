// Figures that are matrices of coloured cells.

function mostLetters(names) {
  return Math.max(...names.map((name) => name.length), 1);
}

// A matrix of coloured cells with names on two sides. `z`, `text` and `hover` have the shape of the matrix; `signed`
// gives a colour scale that is symmetric about zero.
function matrix({ rows, columns: across, z, text, hover, signed, height = 30, width }) {
  const sizes = z.flat().filter(known).map(Math.abs).sort((a, b) => a - b);
  // In a large matrix the colour scale ends at the 98th percentile, so that one outlier does not leave the rest pale.
  const most = (sizes.length > 200 ? sizes[Math.floor(0.98 * sizes.length)] : sizes[sizes.length - 1]) || 1e-9;
  const scale = signed
    ? [[0, colour("orange")], [0.5, isDark() ? "#262c34" : "#f4f4f4"], [1, colour("blue")]]
    : [[0, isDark() ? "#1c2127" : "#f4f6f8"], [1, colour("blue")]];
  const longest = width < 600 ? 20 : 60;
  const names = rows.map((name) => short(name, longest));
  const heads = across.map((name) => short(name, 22));
  const cell = (width - 40 - 7.5 * mostLetters(names) - (width > 600 ? 70 : 0)) / across.length;
  const slanted = cell < 8 * mostLetters(heads);
  const crowded = cell < 46 || height < 20;
  return {
    traces: [{
      type: "heatmap", z, x: across.map((_, i) => i), y: rows.map((_, i) => i), colorscale: scale,
      zmin: signed ? -most : 0, zmax: most, xgap: 2, ygap: 2, hoverinfo: "text", hovertext: hover.map((line) => line.map(plain)),
      text: crowded ? undefined : text, texttemplate: crowded ? undefined : "%{text}", textfont: { size: 11 },
      colorbar: { thickness: 10, outlinewidth: 0, lenmode: "pixels", len: Math.min(260, 40 + height * rows.length), y: 1, yanchor: "top", tickfont: { color: colour("soft"), size: 11 } },
      showscale: width > 600,
    }],
    layout: {
      height: Math.max(160, 90 + height * rows.length + (slanted ? 6 * mostLetters(heads) : 0)),
      xaxis: axis("", { side: "top", tickvals: across.map((_, i) => i), ticktext: heads, showgrid: false, tickangle: slanted ? -45 : 0 }),
      yaxis: axis("", { autorange: "reversed", tickvals: rows.map((_, i) => i), ticktext: names, showgrid: false }),
    },
  };
}

function tasks(data, by, width) {
  const text = data.z.map((line) => line.map((value) => number(value, 3, true)));
  const hover = data.z.map((line, i) => line.map((value, j) => `${data.columns[j]}, ${data.rows[i]}: ${number(value, 4, true)}`));
  const figure = matrix({ rows: data.rows, columns: data.columns, z: data.z, text, hover, signed: true, height: data.rows.length > 60 ? 15 : 24, width });
  const items = (data.items || []).filter(known);
  const each = !items.length ? "" : Math.min(...items) === Math.max(...items) ? `, ${items[0]} items each` : `, ${Math.min(...items)} to ${Math.max(...items)} items`;
  return {
    ...figure,
    note: `n = ${data.rows.length} ${data.of}${data.rows.length === 1 ? "" : "s"}${each}${data.seeds ? `, ${data.seeds} seed${data.seeds === 1 ? "" : "s"}` : ""}.`,
    table: { columns: columns([data.of === "task" ? "Task" : "Table"], data.columns), rows: data.rows.map((name, i) => [name, ...text[i]]) },
  };
}

function transfer(data, by, width) {
  const text = data.z.map((line) => line.map((value) => number(value, 4, true)));
  const hover = data.z.map((line, i) => line.map((value, j) => `scorer ${data.rows[i]}, model ${data.columns[j]}: ${text[i][j]}`));
  const figure = matrix({ rows: data.rows, columns: data.columns, z: data.z, text, hover, signed: true, height: 56, width });
  const pairs = data.z.flat().filter(known).length;
  return { ...figure, note: `n = ${pairs} pairs of scorer and model.`, table: { columns: columns(["Scorer"], data.columns), rows: data.rows.map((name, i) => [name, ...text[i]]) } };
}

function overlap(data, by, width) {
  const z = data[by];
  const places = by === "chance" ? 1 : 3;
  const text = z.map((line) => line.map((value) => (by === "chance" && known(value) ? `${number(value, 1)}×` : number(value, places))));
  const hover = z.map((line, i) => line.map((_, j) => `${data.arms[i]} and ${data.arms[j]}: Jaccard ${number(data.jaccard[i][j], 3)}, by chance ${number(data.expected[i][j], 3)}`));
  const figure = matrix({ rows: data.arms, columns: data.arms, z, text, hover, height: 44, width });
  const sizes = data.sizes.every((size) => size === data.sizes[0]) ? number(data.sizes[0], 0) : `${number(Math.min(...data.sizes), 0)} to ${number(Math.max(...data.sizes), 0)}`;
  return {
    ...figure,
    note: `n = ${sizes} examples per selection${data.pool ? ` of ${number(data.pool, 0)}` : ", of a pool of unknown size"}.`,
    table: { columns: columns(["Method"], data.arms), rows: data.arms.map((arm, i) => [arm, ...text[i]]) },
  };
}

// Figures. Each function takes a view's data and gives plotly traces, a layout, a table of the numbers, and a note.

const MARKERS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star", "hexagon", "pentagon"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
// The palette of Okabe and Ito, for light and dark paper; the colours of the highest contrast come first.
const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const DARK = ["#56B4E9", "#E69F00", "#2FC39B", "#CC79A7", "#F0E442", "#E8813A"];

// An arm looks the same in every figure; the baseline is grey. Colours repeat after six, with another marker and dash.
function style(arm) {
  const place = page.arms.indexOf(arm);
  if (place === 0 && arm === page.baseline) return { color: colour("soft"), symbol: "circle", dash: "dash" };
  const colours = isDark() ? DARK : LIGHT;
  const at = place - (page.arms[0] === page.baseline ? 1 : 0);
  return {
    color: colours[at % colours.length],
    symbol: MARKERS[(at + 1) % MARKERS.length],
    dash: DASHES[Math.floor(at / colours.length) % DASHES.length],
  };
}

function look() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink") },
    hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("line"), font: { color: colour("ink") }, align: "left" },
    dragmode: false,
    autosize: true,
    height: printing ? 340 : 430,
    margin: { l: 10, r: 14, t: 14, b: 10 },
    legend: { orientation: "h", x: 0, y: -0.22, yanchor: "top" },
  };
}

function axis(title, more = {}) {
  return {
    title: { text: plain(title), standoff: 12, font: { color: colour("soft"), size: 13 } },
    automargin: true, gridcolor: colour("line"), linecolor: colour("line"), zeroline: false, fixedrange: true, ...more,
  };
}

function columns(words, numbers) {
  return [...words.map((label) => ({ label, numeric: false })), ...numbers.map((label) => ({ label, numeric: true }))];
}

function scoreTitle(data) {
  return `${data.metric} (${data.higher ? "higher" : "lower"} is better)`;
}

function seedsNote(points) {
  const seeds = [...new Set(points.map((point) => point.seeds).filter(Boolean))].sort((a, b) => a - b);
  if (!seeds.length) return "";
  return `n = ${seeds.length > 1 ? `${seeds[0]} to ${seeds[seeds.length - 1]}` : seeds[0]} seed${seeds[seeds.length - 1] > 1 ? "s" : ""} per point.`;
}

function whiskers(points, color) {
  const up = points.map((point) => (known(point.high) ? point.high - point.y : 0));
  const down = points.map((point) => (known(point.low) ? point.y - point.low : 0));
  return { type: "data", symmetric: false, array: up, arrayminus: down, color, thickness: 1.2, width: 3 };
}

function range(point, places) {
  return known(point.low) ? `${number(point.low, places)} to ${number(point.high, places)}` : "no interval";
}

// From the lowest to the highest end of the points' intervals.
function reachOf(points) {
  return [Math.min(...points.map((point) => point.low ?? point.y)), Math.max(...points.map((point) => point.high ?? point.y))];
}

function isFar(value, [bottom, top]) {
  return top > bottom && Math.max(value - top, bottom - value) > 2 * (top - bottom);
}

function curves(data) {
  const all = Object.values(data.series).flat();
  const placed = all.every((point) => known(point.amount) && point.amount > 0);
  const budgets = [...new Set(all.map((point) => point.budget))];
  const arms = Object.keys(data.series);
  // With one budget there is no curve: methods stand side by side.
  const single = budgets.length === 1;
  const x = (point) => (single ? arms.findIndex((arm) => data.series[arm].includes(point)) : placed ? point.amount : budgets.indexOf(point.budget));
  const ends = [Math.min(...all.map(x)), Math.max(...all.map(x))];
  const log = placed && !single && ends[1] / ends[0] >= 4;
  const pad = single ? [-0.5, arms.length - 0.5] : ends;
  const traces = [];
  for (const [arm, unsorted] of Object.entries(data.series)) {
    const points = [...unsorted].sort((a, b) => x(a) - x(b));
    const { color, symbol, dash } = style(arm);
    const spread = points.filter((point) => known(point.low));
    if (spread.length > 1) {
      traces.push({
        type: "scatter", mode: "none", fill: "toself", fillcolor: color, opacity: 0.16, hoverinfo: "skip", showlegend: false,
        legendgroup: plain(arm), line: { width: 0 },
        x: [...spread.map(x), ...spread.map(x).reverse()],
        y: [...spread.map((point) => point.high), ...spread.map((point) => point.low).reverse()],
      });
    }
    traces.push({
      type: "scatter", mode: "lines+markers", name: short(arm), legendgroup: plain(arm), hoverinfo: "text",
      x: points.map(x), y: points.map((point) => point.y),
      error_y: whiskers(points, color),
      line: { color, dash, width: 2 }, marker: { color, symbol, size: 9 },
      hovertext: points.map((point) => plain(`${arm} at ${point.budget}: ${number(point.y, data.places)} (${range(point, data.places)}), ${point.seeds} seeds`)),
    });
  }
  const reach = reachOf(all);
  for (const [arm, value] of Object.entries(data.lines)) {
    if (!known(value)) continue;
    const { color, symbol } = style(arm);
    // A line far from the curves would flatten them, so it is hidden until its legend entry is clicked.
    const far = isFar(value, reach);
    traces.push({
      type: "scatter", mode: "lines+markers", name: far ? `${short(arm)}: ${number(value, data.places)} (off scale)` : short(arm),
      visible: far ? "legendonly" : true, x: pad, y: [value, value], hoverinfo: "text",
      hovertext: Array(2).fill(plain(`${arm}: ${number(value, data.places)}`)),
      line: { color, dash: "dot", width: 1.5 }, marker: { color, symbol, size: 6 },
    });
  }
  const ticks = single
    ? arms.map((arm, i) => [i, short(arm, 16)])
    : budgets.map((budget) => [x(all.find((point) => point.budget === budget)), plain(budget)]).sort((a, b) => a[0] - b[0]);
  return {
    traces,
    layout: {
      xaxis: axis(single ? `method, at ${budgets[0]}` : log ? "budget (logarithmic)" : "budget", {
        type: log ? "log" : "linear", tickvals: ticks.map((tick) => tick[0]), ticktext: ticks.map((tick) => tick[1]),
      }),
      yaxis: axis(scoreTitle(data)),
    },
    note: seedsNote(all),
    table: {
      columns: columns(["Method", "Budget"], ["Score", "From", "To", "Seeds"]),
      rows: [
        ...Object.entries(data.series).flatMap(([arm, points]) => points.map((point) =>
          [arm, point.budget, number(point.y, data.places), number(point.low, data.places), number(point.high, data.places), number(point.seeds, 0)])),
        ...Object.entries(data.lines).map(([arm, value]) => [arm, UNKNOWN, number(value, data.places), UNKNOWN, UNKNOWN, UNKNOWN]),
      ],
    },
  };
}

// The Pareto front, cheapest first: the points for which no other point is both cheaper and better.
function paretoFront(points, cost, turn) {
  const order = [...points].sort((a, b) => a[cost] - b[cost] || turn * (b.y - a.y));
  let best = -Infinity;
  return order.filter((point) => turn * point.y > best && ((best = turn * point.y), true));
}

const COST_UNITS = { seconds: "seconds", flops: "FLOPs", money: "money" };

function costs(data, by, width) {
  const points = data.points.filter((point) => known(point[by]));
  const front = new Set(paretoFront(points, by, data.higher ? 1 : -1));
  const positive = points.map((point) => point[by]).filter((cost) => cost > 0);
  const log = positive.length === points.length && Math.max(...positive) / Math.min(...positive) > 20;
  const limited = points.filter((point) => point.budget);
  const reach = limited.length ? reachOf(limited) : [0, 0];
  const line = [...front].filter((point) => !isFar(point.y, reach));
  const traces = [{
    type: "scatter", mode: "lines", name: "Pareto front", x: line.map((point) => point[by]), y: line.map((point) => point.y),
    line: { color: colour("soft"), width: 1.5, dash: "dot", shape: "hv" }, hoverinfo: "skip",
  }];
  for (const arm of [...new Set(points.map((point) => point.arm))]) {
    const own = points.filter((point) => point.arm === arm);
    const { color, symbol } = style(arm);
    const far = own.every((point) => isFar(point.y, reach));
    traces.push({
      type: "scatter", mode: width < 600 ? "markers" : "markers+text", visible: far ? "legendonly" : true,
      name: far ? `${short(arm)}: ${number(own[0].y, data.places)} (off scale)` : short(arm), x: own.map((point) => point[by]), y: own.map((point) => point.y),
      error_y: whiskers(own, color),
      marker: { color, symbol, size: 11, line: { width: own.map((point) => (front.has(point) ? 2 : 0)), color: colour("ink") } },
      text: own.map((point) => plain(point.budget || "")), textposition: "bottom right", textfont: { color: colour("soft"), size: 11 }, cliponaxis: false,
      hoverinfo: "text",
      hovertext: own.map((point) => plain(`${[point.arm, point.budget].filter(Boolean).join(" at ")}: ${number(point.y, data.places)} for ${costText(point[by], by)}${front.has(point) ? ", on the front" : ""}`)),
    });
  }
  const left = data.points.length - points.length;
  return {
    traces,
    layout: {
      xaxis: axis(`selection + training [${COST_UNITS[by]}${log ? ", logarithmic" : ""}]`, log ? { type: "log" } : { rangemode: "tozero" }),
      yaxis: axis(scoreTitle(data)),
    },
    note: `Points on the front have an edge. ${seedsNote(points)}${left ? ` ${left} arms without a recorded cost are left out.` : ""}`,
    table: {
      columns: columns(["Method", "Budget", "On the front"], ["Score", `Cost [${COST_UNITS[by]}]`]),
      rows: points.map((point) => [point.arm, point.budget || UNKNOWN, front.has(point) ? "yes" : "no", number(point.y, data.places), costText(point[by], by)]),
    },
  };
}

function costText(value, by) {
  if (by === "flops") return value.toExponential(2);
  return `${number(value, value < 100 ? 2 : 0)}${by === "seconds" ? " s" : ""}`;
}

function critical(data, by, width) {
  const names = data.ranks.map(([name]) => name);
  const ranks = data.ranks.map(([, rank]) => rank);
  const last = Math.max(...ranks, names.length);
  const rows = names.map((_, i) => i);
  const traces = [{
    type: "scatter", mode: "markers+text", x: ranks, y: rows, hoverinfo: "text", showlegend: false,
    marker: { size: 12, color: names.map((name) => style(name).color), symbol: names.map((name) => style(name).symbol) },
    text: ranks.map((rank) => `  ${number(rank, 2)}`), textposition: "middle right", textfont: { size: 12, color: colour("soft") },
    hovertext: names.map((name, i) => plain(`${name}: average rank ${number(ranks[i], 2)}`)),
  }];
  const groups = data.groups.map((group) => group.map((name) => names.indexOf(name)).filter((i) => i >= 0)).filter((group) => group.length > 1);
  // The lines of groups are ten pixels apart at every width of the figure; names take a share of the width.
  const step = (10 * (last + 1)) / Math.max(width - 8 * mostLetters(names.map((name) => short(name))) - 30, 150);
  groups.forEach((group, i) => {
    const at = last + 0.6 + step * i;
    traces.push({
      type: "scatter", mode: "lines", x: [at, at], y: [Math.min(...group) - 0.25, Math.max(...group) + 0.25], hoverinfo: "text",
      hovertext: Array(2).fill(plain(`cannot be told apart: ${group.map((j) => names[j]).join(", ")}`)),
      line: { color: colour("ink"), width: 4 }, showlegend: false,
    });
  });
  if (known(data.distance)) {
    const wide = data.distance > last / 2; // the label does not fit behind the bar
    const label = `critical difference ${number(data.distance, 2)}`;
    traces.push({
      type: "scatter", mode: "lines+markers+text", x: [1, 1 + data.distance], y: [-1, -1], hoverinfo: "skip", showlegend: false,
      line: { color: colour("ink"), width: 2 }, marker: { symbol: "line-ns-open", size: 10, color: colour("ink") },
      textfont: { size: 12 }, textposition: wide ? "top right" : "middle right",
      text: wide ? [label, ""] : ["", `  ${label}`],
    });
  }
  return {
    traces,
    layout: {
      height: 120 + 38 * (names.length + 1),
      xaxis: axis("average rank (1 is best)", { side: "top", range: [0.7, last + 0.8 + step * groups.length], tickvals: Array.from({ length: Math.floor(last) }, (_, i) => i + 1) }),
      yaxis: axis("", { range: [names.length - 0.5, -1.8], tickvals: rows, ticktext: names.map((name) => short(name)), showgrid: true, ticks: "" }),
    },
    note: `n = ${data.tables} settings and tasks${known(data.p) ? `; Friedman's test of no difference: p ${data.p < 0.001 ? "< 0.001" : `= ${number(data.p, 3)}`}` : ""}.${groups.length ? "" : " No two methods are joined."}`,
    table: {
      columns: columns(["Method", "Not told apart from"], ["Average rank"]),
      rows: names.map((name, i) => [name, [...new Set(groups.filter((group) => group.includes(i)).flat())].filter((j) => j !== i).map((j) => names[j]).join(", ") || UNKNOWN, number(ranks[i], 2)]),
    },
  };
}

const LARGEST = 30; // how many values of a label are drawn

function composition(data, by, width) {
  if (by === "lengths" || !data.labels[by]) return { table: data.facts };
  const { values, arms } = data.labels[by];
  const shown = values.slice(0, LARGEST);
  const rows = shown.map((_, i) => i);
  const traces = [];
  if (arms.pool) {
    traces.push({
      type: "bar", orientation: "h", name: "whole pool", x: arms.pool.slice(0, LARGEST), y: rows, marker: { color: colour("line") }, hoverinfo: "text",
      hovertext: shown.map((value, i) => plain(`pool, ${value}: ${number(100 * arms.pool[i], 1)} %`)),
    });
  }
  for (const arm of data.arms) {
    const { color, symbol } = style(arm);
    traces.push({
      type: "scatter", mode: "markers", name: short(arm), x: arms[arm].slice(0, LARGEST), y: rows, marker: { color, symbol, size: 9 }, cliponaxis: false,
      hoverinfo: "text", hovertext: shown.map((value, i) => plain(`${arm}, ${value}: ${number(100 * arms[arm][i], 1)} %`)),
    });
  }
  const named = Object.keys(arms);
  return {
    traces,
    layout: {
      height: 150 + 24 * Math.max(shown.length, 3),
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      xaxis: axis("share of examples", { tickformat: ".0%", rangemode: "tozero" }),
      yaxis: axis("", { autorange: "reversed", tickvals: rows, ticktext: shown.map((value) => short(value)) }),
      bargap: 0.35,
    },
    note: `n = ${[...new Set(data.runs)].join(" or ")} selection${Math.max(...data.runs) > 1 ? "s" : ""} per method.${values.length > LARGEST ? ` The ${LARGEST} most frequent of ${values.length} values.` : ""}`,
    table: { columns: columns(["Value"], named), rows: values.map((value, i) => [value, ...named.map((arm) => `${number(100 * arms[arm][i], 1)} %`)]) },
  };
}

function plan(data) {
  const names = data.stages.map((stage) => short(stage.stage));
  const rows = names.map((_, i) => i);
  const bars = [["planned", colour("soft"), "/"], ["actual", colour("blue"), ""]].filter(([kind]) => data.stages.some((stage) => known(stage[kind])));
  return {
    traces: bars.map(([kind, color, pattern]) => ({
      type: "bar", orientation: "h", name: kind, y: rows, x: data.stages.map((stage) => stage[kind]), hoverinfo: "text",
      marker: { color, pattern: { shape: pattern } }, hovertext: data.stages.map((stage) => plain(`${stage.stage}, ${kind}: ${number(stage[kind], 1)} s`)),
    })),
    layout: {
      height: 130 + 54 * names.length, barmode: "group",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" }, showlegend: true,
      xaxis: axis("wall-clock seconds", { rangemode: "tozero" }),
      yaxis: axis("", { autorange: "reversed", tickvals: rows, ticktext: names }),
    },
    note: data.runs ? `n = ${data.runs} run${data.runs === 1 ? "" : "s"}.` : "",
    table: data.table,
  };
}

const FIGURES = { curves, costs, critical, tasks, transfer, overlap, composition, plan };

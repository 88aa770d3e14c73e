// Panels that are tables.

const SYMBOLS = { better: "▲", worse: "▼", tied: "=" };

function pairs(data) {
  const head = make("tr", {}, make("td"), ...data.arms.map((arm) => make("th", { scope: "col" }, arm)));
  const rows = data.arms.map((arm, i) => make("tr", {}, make("th", { scope: "row" }, arm), ...data.cells[i].map((cell, j) => {
    if (i === j) return make("td", { class: "self" });
    if (!cell) return make("td", {}, UNKNOWN);
    const [word, mean, p, interval] = cell;
    const about = [`${arm} against ${data.arms[j]}: ${word || "not tested"}`, interval].filter(Boolean).join("; ");
    const mark = word ? make("span", { "aria-label": word, role: "img" }, SYMBOLS[word]) : "";
    return make("td", { class: word, title: about }, mark, ` ${mean}`, make("small", {}, p === UNKNOWN ? "" : `p ${p}`));
  })));
  return make("table", { class: "matrix" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

const TABLES = { pairs };

// The verdict table: sorting, filtering, and the details of a row.

const table = document.getElementById("verdict-table");
const bodies = [...table.tBodies];
const original = [...bodies];

function valueOf(body, column) {
  const value = body.rows[0].cells[column].dataset.value;
  if (value === undefined || value === "") return null;
  return value !== "" && !Number.isNaN(Number(value)) ? Number(value) : value;
}

// Numbers come before words, and unknown values last, in both directions. `turn` is 1 for ascending, -1 for descending.
function compare(a, b, turn) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return turn * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
}

// Clicking a heading again changes from ascending to descending order, then back to the order of the report.
function sortBy(heading) {
  const headings = [...table.tHead.rows[0].cells];
  const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
  for (const other of headings) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", next);
  table.classList.toggle("unsorted", next === "none");
  const column = headings.indexOf(heading);
  const turn = next === "ascending" ? 1 : -1;
  const values = new Map(original.map((body) => [body, valueOf(body, column)]));
  const order = next === "none" ? original : [...original].sort((a, b) => compare(values.get(a), values.get(b), turn));
  table.append(...order);
}

function filterRows() {
  const menus = [...document.querySelectorAll("[data-filter]")].filter((menu) => menu.value);
  const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const body of bodies) {
    const fits = menus.every((menu) => body.dataset[menu.dataset.filter] === menu.value);
    const text = fits && words.length ? rowText(body) : "";
    body.hidden = !(fits && words.every((word) => text.includes(word)));
    shown += !body.hidden;
  }
  const all = bodies.length;
  document.getElementById("shown").textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
}

function rowText(body) {
  return [body.rows[0].textContent, ...Object.values(body.dataset)].join(" ").toLowerCase();
}

function toggleDetails(button) {
  const body = button.closest("tbody");
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) {
    body.rows[1].remove();
    return;
  }
  const cell = make("td", { colspan: String(body.rows[0].cells.length) }, details(page.details.rows[body.id]));
  body.append(make("tr", { class: "details" }, cell));
}

function facts(pairs) {
  return make("dl", {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value)))));
}

function details(row) {
  const inside = make("div", { class: "inside" }, make("h3", {}, row.title), facts(row.facts));
  const runs = row.runs.filter((key) => page.details.runs[key]);
  if (!row.runs.length) inside.append(make("p", {}, "These scores come from a table, so there is no run to repeat."));
  for (const key of row.runs) inside.append(...reproduce(key, page.details.runs[key]));
  if (runs.length) inside.append(...settings(page.details.runs[runs[0]]));
  return inside;
}

function reproduce(key, run) {
  const title = make("h3", {}, run ? `Run ${run.name}` : `Run ${key}`);
  const commands = [`selbench rerun ${key}`, `selbench show ${key}`].map(copyable);
  if (!run) return [title, ...commands];
  const scores = Object.entries(run.headline).map(([suite, value]) => [`score, ${suite}`, String(value)]);
  const stages = Object.entries(run.stages).map(([name, stage]) => [`stage ${name}`, stage]);
  const about = [["key", key], ["seed", run.seed ?? UNKNOWN], ["started", run.created], ...scores, ...stages];
  const leaks = run.leaks ? [make("p", {}, "Leak check:"), make("pre", {}, run.leaks)] : [];
  return [title, copyable(run.command), ...commands, ...leaks, fold("Key, seed, stages", facts(about)),
    fold("Versions and hardware", make("pre", {}, run.versions))];
}

function settings(run) {
  return [make("h3", {}, "Configuration"), fold("All settings, but for the seed", make("pre", {}, page.details.configs[run.config]))];
}

function fold(title, content) {
  return make("details", {}, make("summary", {}, title), content);
}

function copyable(command) {
  const button = make("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", () => {
    const done = (word) => { button.textContent = word; };
    const copied = navigator.clipboard ? navigator.clipboard.writeText(command) : Promise.reject();
    copied.then(() => done("Copied"), () => done("Select by hand"));
  });
  return make("div", { class: "line" }, make("pre", {}, command), button);
}

table.tHead.addEventListener("click", (event) => {
  const heading = event.target.closest("th");
  if (heading) sortBy(heading);
});
table.addEventListener("click", (event) => {
  const button = event.target.closest("tbody th.arm button");
  if (button) toggleDetails(button);
});
for (const event of ["input", "change"]) document.getElementById("filters").addEventListener(event, filterRows);

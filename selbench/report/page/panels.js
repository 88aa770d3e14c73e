// Each panel is drawn when it comes into sight, and again when a menu or the colours change; printing draws them all.

const sections = [...document.querySelectorAll("section.panel")].filter((section) => page.panels[section.id]);
const drawn = new Set();
let printing = false;

function chosen(section) {
  const view = section.querySelector("select.view");
  const by = section.querySelector("select.by");
  return { data: page.panels[section.id][view ? Number(view.value) : 0], by: by ? by.value : "", view };
}

function draw(section) {
  drawn.add(section);
  const { data, by, view } = chosen(section);
  if (view) section.querySelector(".view-name").textContent = view.selectedOptions[0].textContent;
  const place = section.querySelector(".drawing");
  if (section.dataset.kind === "table") {
    place.replaceChildren(scrolling(section, (TABLES[section.id] || grid)(data)));
    return;
  }
  const width = printing ? 660 : place.clientWidth;
  const figure = FIGURES[section.id](data, by, width);
  section.querySelector(".note").textContent = figure.note || "";
  section.querySelector(".numbers").hidden = !figure.traces; // a view may be a table itself
  section.querySelector(".numbers > div").replaceChildren(grid(figure.table));
  show(section, place, figure, width);
}

function show(section, place, figure, width) {
  if (!figure.traces) {
    place.replaceChildren(scrolling(section, grid(figure.table)));
    return;
  }
  let plot = place.querySelector(".plot");
  if (!plot) {
    plot = make("div", { class: "plot", role: "img", "aria-label": `${title(section)}; the numbers are below the figure` });
    place.replaceChildren(plot);
  }
  const options = { displaylogo: false, displayModeBar: false, responsive: !printing, doubleClick: "reset" };
  Plotly.react(plot, figure.traces, { ...look(), ...figure.layout, width: printing ? width : undefined }, options);
}

function scrolling(section, element) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title(section) }, element);
}

function title(section) {
  return section.querySelector("h2").textContent;
}

function redrawAll() {
  for (const section of drawn) draw(section);
}

// Light or dark: the system's preference until the reader uses the button.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const themeButton = document.getElementById("theme");

function isDark() {
  return !printing && (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
}

function themeChanged() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  redrawAll();
}

themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  themeChanged();
});
dark.addEventListener("change", themeChanged);

function print(now) {
  printing = now;
  const before = root.dataset.theme;
  if (now) {
    root.dataset.theme = "light"; // paper is white, and figures read their colours from the page's style
    for (const section of sections) draw(section);
    if (before === undefined) delete root.dataset.theme;
    else root.dataset.theme = before;
  } else {
    redrawAll();
  }
}
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));

// Plotly's large script follows this one, so the verdict table works while the browser still loads it.
addEventListener("DOMContentLoaded", () => {
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "300px" });
  for (const section of sections) {
    watch.observe(section);
    section.addEventListener("change", () => draw(section));
  }
  filterRows(); // after a reload a browser may restore the menus' values
  themeChanged();
});

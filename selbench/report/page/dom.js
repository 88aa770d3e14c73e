"use strict";
// Helpers of the other parts. Text from data reaches the page only as text nodes, and plotly only through plain().

const page = JSON.parse(document.getElementById("page-data").textContent);
const UNKNOWN = "–";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== "" && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children) element.append(child); // a string becomes a text node
  return element;
}

// Plotly reads tags and entities in labels; escaped, they are shown as they are.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

// Long names are shortened inside figures; the table of numbers below each figure has them in full.
function short(text, length = 28) {
  const characters = [...String(text)];
  return plain(characters.length > length ? characters.slice(0, length - 1).join("") + "…" : text);
}

function known(value) {
  return value !== null && value !== undefined && Number.isFinite(value);
}

function number(value, places = 4, sign = false) {
  if (!known(value)) return UNKNOWN;
  const text = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  const zero = Number(value.toFixed(places)) === 0;
  return (value < 0 && !zero ? "−" : sign && !zero ? "+" : "") + text;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// A table of {columns: [{label, numeric}], rows: [[text]]}.
function grid(data) {
  const head = make("tr", {}, ...data.columns.map((column) =>
    make("th", { scope: "col", class: column.numeric ? "number" : "" }, column.label)));
  const rows = data.rows.map((row) => make("tr", {}, ...row.map((text, i) => {
    const flag = !data.columns[i].numeric && text.startsWith("⚠");
    return make(i ? "td" : "th", {
      scope: i ? "" : "row",
      class: data.columns[i].numeric ? "number" : flag ? "words flag" : "words",
    }, text);
  })));
  return make("table", { class: "plain" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

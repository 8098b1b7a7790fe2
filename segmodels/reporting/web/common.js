"use strict";

// What all parts of the page share. Text goes in by textContent only, so that no name is markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)}%`);
const rgb = (label) => `rgb(${DATA.colours[label].join(" ")})`;
const className = (label) =>
  DATA.classes[label] ?? (label === DATA.void ? "void" : `label ${label}`);

/** An element with properties (text, listeners, style variables) and children. */
function element(name, { style = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(style)) made.style.setProperty(key, value);
  made.append(...children);
  return made;
}

/** Fill a <select>: pairs of value and text. */
function fill(select, pairs) {
  select.replaceChildren(
    ...pairs.map(([value, textContent]) => element("option", { value, textContent })),
  );
}

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark =
    getComputedStyle(root).colorScheme === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
});

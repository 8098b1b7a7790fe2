"use strict";

// How photographs are shown: panels, before and after, classes. Text goes in by textContent only, so
// that no name is markup.
const byId = (id) => document.getElementById(id);
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
const PHOTOGRAPH = ""; // where a model's name is expected: the photograph alone
const LEAST = 0.0005; // a smaller share would be shown as 0.0%
// Of the page: photographs in the order of the thumbnails, which of them is shown, and the models.
const state = { photos: [], at: -1, models: [], mostBytes: Infinity, busy: false, shots: 0 };

/** An element with properties (text, listeners, style variables) and children. */
function element(name, { style = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(style)) made.style.setProperty(key, value);
  made.append(...children);
  return made;
}

const shown = () => state.photos[state.at];
const chosen = () => [...new Set([byId("first").value, byId("second").value])].filter(Boolean);

/** A model's name without its folder and suffix, where no other is left with the same. */
function brief(model) {
  const last = (name) => name.split("/").at(-1).replace(/\.safetensors$/, "");
  const same = state.models.filter(({ name }) => last(name) === last(model));
  return same.length > 1 ? model : last(model);
}

/** Fill a <select> with models; `none` stands for the empty one. */
function fill(select, names, value, none) {
  const options = names.map((name) => element("option", { value: name, textContent: brief(name) }));
  if (none) options.unshift(element("option", { value: "", textContent: none }));
  select.replaceChildren(...options);
  select.value = value;
}

/** Colours of the labels, transparent where there is background or no class; borders are white. */
function tint({ labels, colours, background, width, height }) {
  const image = new ImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(256);
  const entry = new Uint8ClampedArray(table.buffer);
  colours.forEach((colour, label) => {
    if (!background || label > 0) entry.set([...colour, 255], 4 * label);
  });
  const reach = Math.ceil(Math.max(width, height) / 800); // pixels that a border is wide
  labels.forEach((label, k) => {
    const right = (k % width) + reach < width ? labels[k + reach] : label;
    const below = labels[k + reach * width] ?? label;
    words[k] = right === label && below === label ? table[label] : 0xffffffff;
  });
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

const share = (value) => (value < LEAST ? "<0.1%" : percent(value));
const sentence = ({ shares }) =>
  Object.entries(shares)
    .map(([name, value]) => `${name} ${share(value)}`)
    .join(", ");

/** All of the shown photograph: its panels, or before and after, and what the models found. */
function layOut() {
  const photo = shown();
  if (!photo) return;
  const slider = document.querySelector("input[name=view]:checked").value === "slider";
  byId("name").textContent = photo.name;
  const results = chosen().map((name) => photo.results.get(name));
  const notes = [...photo.notes, ...results.flatMap((result) => result?.notes ?? [])];
  byId("facts").textContent = [`${photo.width} × ${photo.height} pixels`, ...notes].join("; ");
  byId("stage").hidden = !slider;
  document.body.classList.toggle("in-slider", slider);
  const ratio = photo.picture.width / photo.picture.height;
  byId("shown").style.setProperty("--ratio", ratio);
  byId("panels").replaceChildren(panel(photo, PHOTOGRAPH), ...chosen().map((m) => panel(photo, m)));
  draw();
}

function panel(photo, model) {
  const { width, height } = photo.picture;
  const result = photo.results.get(model);
  const ariaLabel = model ? `What ${brief(model)} sees in ${photo.name}` : photo.name;
  const canvas = element("canvas", { width, height, role: "img", ariaLabel });
  canvas.dataset.model = model;
  canvas.classList.toggle("waiting", Boolean(model) && !result);
  canvas.addEventListener("pointermove", point);
  const textContent = model ? brief(model) : "photograph";
  const words = element("figcaption", {}, element("strong", { textContent }));
  const figure = element("figure", { className: model ? "" : "photograph" }, canvas, words);
  if (!model) return figure;
  const took = result?.error ?? (result ? `${result.seconds.toFixed(2)} s` : "labelling …");
  words.append(element("em"), element("span", { textContent: took }));
  if (result && !result.error) figure.append(classList(result), downloads(photo, model, result));
  return figure;
}

/** Classes by share, the background last. */
function classList({ shares, classes, colours, background }) {
  const plain = (name) => background && name === classes[0];
  const names = Object.keys(shares).sort((a, b) => plain(a) - plain(b));
  const lines = names.map((name) => {
    const colour = plain(name) ? "none" : `rgb(${colours[classes.indexOf(name)].join(" ")})`;
    return element(
      "li",
      { className: plain(name) ? "background" : "", style: { "--colour": colour } },
      element("i"),
      element("span", { textContent: name }),
      element("b", { style: { "--share": shares[name] } }),
      element("span", { textContent: share(shares[name]) }),
    );
  });
  return element("ul", { className: "classes", ariaLabel: "Classes and their shares" }, ...lines);
}

function downloads(photo, model, result) {
  result.url ??= URL.createObjectURL(result.mask);
  const stem = photo.name.replace(/\.[^.]*$/, "");
  const file = (kind) => `${stem}_${brief(model)}_${kind}.png`.replaceAll("/", "_");
  const mask = { href: result.url, download: file("mask"), className: "button" };
  const overlay = element("button", { type: "button", textContent: "Overlay" });
  overlay.ariaLabel = `Download the overlay of ${brief(model)}`;
  overlay.addEventListener("click", async () => {
    overlay.disabled = true;
    const opacity = byId("opacity").value / 100;
    const asked = query({ model, opacity, photo: photo.data.byteLength });
    try {
      const body = new Blob([photo.data, result.mask]);
      const url = URL.createObjectURL(await (await ask(`overlay?${asked}`, body)).blob());
      element("a", { href: url, download: file("overlay") }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      complain(photo.name, error.message);
    }
    overlay.disabled = false;
  });
  const ariaLabel = `Download the mask of ${brief(model)}`;
  const word = element("span", { textContent: "Download" });
  const link = element("a", { ...mask, ariaLabel, textContent: "Mask" });
  return element("div", { className: "presets downloads" }, word, link, overlay);
}

/** Under every model the class of the pixel that the pointer is on. */
function point({ offsetX, offsetY, target }) {
  const across = Math.min(0.9999, Math.max(0, offsetX / target.clientWidth));
  const down = Math.min(0.9999, Math.max(0, offsetY / target.clientHeight));
  for (const canvas of document.querySelectorAll("#panels canvas:not([data-model=''])")) {
    const result = shown().results.get(canvas.dataset.model);
    if (!result?.labels) continue;
    const { labels, classes, width, height } = result;
    const label = labels[Math.floor(down * height) * width + Math.floor(across * width)];
    canvas.parentElement.querySelector("em").textContent = classes[label] ?? "";
  }
}

/** The photograph, and over it what a model sees. */
function paint(context, model) {
  const { picture, results } = shown();
  context.globalAlpha = 1;
  context.drawImage(picture, 0, 0);
  const layer = results.get(model)?.tint;
  context.globalAlpha = byId("opacity").value / 100;
  if (layer) context.drawImage(layer, 0, 0);
}

function draw() {
  byId("opacity-shown").textContent = `${byId("opacity").value}%`;
  if (!shown()) return;
  for (const canvas of document.querySelectorAll("#panels canvas"))
    paint(canvas.getContext("2d"), canvas.dataset.model);
  if (!byId("stage").hidden) drawBoth();
}

/** Before and after: what is left of the line, and what is right of it. */
function drawBoth() {
  const [left, right, canvas] = [byId("left"), byId("right"), byId("both")];
  const at = byId("divider").value / 1000;
  const { width, height } = shown().picture;
  Object.assign(canvas, { width, height });
  const words = (select) => select.selectedOptions[0]?.textContent;
  canvas.ariaLabel = `${shown().name}: ${words(left)} on the left, ${words(right)} on the right`;
  canvas.parentElement.style.setProperty("--at", at);
  byId("divider").ariaValueText = percent(at, 0);
  const context = canvas.getContext("2d");
  paint(context, right.value);
  context.save();
  context.beginPath();
  context.rect(0, 0, at * width, height);
  context.clip();
  paint(context, left.value);
  context.restore();
}

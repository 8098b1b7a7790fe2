// Gallery: one picture with the truth and every model's mask, drawn from label maps on canvases.
{
  const { models, pictures, classes, colours } = DATA;
  // Colours of Okabe and Ito, which the colour-blind can tell apart.
  const ERRORS = { missed: [0, 114, 178], invented: [230, 159, 0], confused: [204, 121, 167] };
  const MEANING = {
    missed: "missed: the truth has an object, the model background",
    invented: "invented: the truth is background, the model has an object",
    confused: "confused: objects in both, of different classes",
  };
  const state = { matching: [], at: 0, pixels: null };

  /** Score of a picture by which it is filtered and sorted: of the chosen class and model. */
  function score(picture, model = byId("by-model").value) {
    const label = byId("by-class").value;
    const each = label === "" ? picture.miou : picture.iou[label];
    if (model !== "") return each[model];
    const known = each.filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  }

  /** Pictures whose truth has the chosen class and whose score is low enough, in the chosen order. */
  function match() {
    const label = byId("by-class").value;
    const atMost = byId("at-most").value / 100;
    const order = byId("order").value;
    const found = pictures.filter((picture) => label === "" || label in picture.iou);
    state.matching = found.filter((picture) => atMost === 1 || (score(picture) ?? 2) <= atMost);
    const sign = { worst: 1, best: -1, list: 0 }[order];
    state.matching.sort((a, b) => sign * ((score(a) ?? 2 * sign) - (score(b) ?? 2 * sign)) || 0);
    byId("at-most-shown").textContent = percent(atMost, 0);
    byId("thumbs").replaceChildren(...state.matching.map(thumb));
    show(0);
  }

  function thumb(picture, k) {
    const image = element("img", { src: picture.image, alt: "", loading: "lazy" });
    const quantity = byId("by-class").value === "" ? "mIoU" : "IoU";
    const name = `${picture.id}, ${quantity} ${percent(score(picture))}`;
    const button = element(
      "button",
      { type: "button", title: name, ariaLabel: name, onclick: () => show(k) },
      image,
    );
    return element("li", {}, button, element("span", { textContent: percent(score(picture), 0) }));
  }

  /** RGBA values of an embedded image. */
  async function decode(uri) {
    const image = Object.assign(new Image(), { src: uri });
    await image.decode();
    const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  /** Go to a matching picture; a slower one that was asked for before is not drawn any more. */
  async function show(at) {
    state.at = at;
    const picture = state.matching[at];
    const place = `${at + 1} of ${state.matching.length}`;
    byId("picture-name").textContent = picture ? `${picture.id} (${place})` : "No image matches";
    byId("previous").disabled = at <= 0;
    byId("next").disabled = at >= state.matching.length - 1;
    mark(at);
    if (!picture) return [byId("panels"), byId("legend")].forEach((each) => each.replaceChildren());
    const [image, ...labels] = await Promise.all([picture.image, ...picture.labels].map(decode));
    if (picture !== state.matching[state.at]) return;
    state.pixels = { image, labels: labels.map(({ data }) => data.filter((_, i) => i % 4 === 0)) };
    byId("panels").replaceChildren(
      ...["image", "ground truth", ...models].map((each, i) => panel(picture, each, i)),
    );
    draw();
  }

  /** The thumbnail of the picture that is shown: named, in view, and the only one in Tab's way. */
  function mark(at) {
    const strip = byId("thumbs");
    [...strip.children].forEach(({ firstElementChild: button }, k) => {
      button.ariaCurrent = k === at ? "true" : null;
      button.tabIndex = k === at ? 0 : -1;
    });
    const chosen = strip.children[at];
    const left = chosen && chosen.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
    strip.scrollTo({ left });
  }

  function panel(picture, model, i) {
    const { width, height } = state.pixels.image;
    const name = model.name ?? model;
    const ariaLabel = `${name} of ${picture.id}`;
    const canvas = element("canvas", { width, height, role: "img", ariaLabel });
    canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
      const column = Math.min(width - 1, Math.floor((offsetX / canvas.clientWidth) * width));
      const line = Math.min(height - 1, Math.floor((offsetY / canvas.clientHeight) * height));
      point(line * width + column);
    });
    const own = i < 2 ? `${picture.width} × ${picture.height}` : percent(score(picture, i - 2));
    const words = [
      element("strong", { textContent: name }),
      element("span", { textContent: i === 1 ? "" : own }),
    ];
    const here = element("em", { textContent: "\u00a0" });
    return element("figure", {}, canvas, element("figcaption", {}, ...words, here));
  }

  /** Under every panel the class of the pixel that the pointer is on. */
  function point(place) {
    state.pixels.labels.forEach((labels, i) => {
      byId("panels").children[i + 1].querySelector("em").textContent = className(labels[place]);
    });
  }

  const layer = () => document.querySelector("input[name=layer]:checked").value;

  /** Whether a label is background: 0, unless that is a class like the others. */
  const isBackground = (label) => DATA.background && label === 0;

  function kind(truth, label) {
    if (truth === label || truth === DATA.void) return null;
    return isBackground(label) ? "missed" : isBackground(truth) ? "invented" : "confused";
  }

  /** Colour laid over a pixel; null where the photograph stays as it is: background, or no error. */
  function tint(truth, label, errors) {
    return errors ? ERRORS[kind(truth, label)] : isBackground(label) ? null : colours[label];
  }

  function draw() {
    if (!byId("panels").children.length) return; // nothing matches, or nothing is decoded yet
    const { image, labels } = state.pixels;
    const opacity = byId("opacity").value / 100;
    const errors = layer() === "errors";
    byId("opacity-shown").textContent = percent(opacity, 0);
    [null, ...labels].forEach((map, i) => {
      const drawn = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
      map?.forEach((label, k) => {
        const colour = tint(labels[0][k], label, errors && i > 1);
        for (let c = 0; colour && c < 3; c++) {
          drawn.data[4 * k + c] += opacity * (colour[c] - drawn.data[4 * k + c]);
        }
      });
      const canvas = byId("panels").children[i].firstElementChild;
      canvas.getContext("2d", { willReadFrequently: true }).putImageData(drawn, 0, 0);
    });
    byId("legend").replaceChildren(
      ...(errors ? errorLegend() : []),
      ...classLegend(errors ? labels.slice(0, 1) : labels),
    );
  }

  const swatch = (colour, text) =>
    element("li", {}, element("i", { style: { background: colour } }), text);
  const kinds = Object.entries(MEANING).filter(([name]) => DATA.background || name === "confused");
  const errorLegend = () =>
    kinds.map(([name, text]) => swatch(`rgb(${ERRORS[name].join(" ")})`, text));

  /** Classes that occur in any of the maps, in the order of their labels. */
  function classLegend(maps) {
    const seen = [...new Set(maps.flatMap((map) => [...new Set(map)]))].sort((a, b) => a - b);
    const named = seen.filter((label) => !isBackground(label));
    return named.map((label) => swatch(rgb(label), className(label)));
  }

  const present = classes
    .map((name, label) => [label, name])
    .filter(([label]) => pictures.some(({ iou }) => label in iou));
  fill(byId("by-class"), [["", "all classes"], ...present]);
  const judges = models.map((model, i) => [i, model.name]);
  fill(byId("by-model"), [["", "mean of all models"], ...judges]);
  for (const id of ["by-class", "by-model", "order", "at-most"])
    byId(id).addEventListener("input", match);
  byId("opacity").addEventListener("input", draw);
  for (const input of document.querySelectorAll("input[name=layer]"))
    input.addEventListener("change", draw);

  const step = (by) => state.matching[state.at + by] && show(state.at + by);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("gallery").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.target.matches("input, select")) return;
    event.preventDefault();
    step(by);
    if (byId("thumbs").contains(event.target))
      byId("thumbs").children[state.at].firstElementChild.focus();
  });
  match();
}

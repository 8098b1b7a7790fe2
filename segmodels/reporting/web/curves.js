// Curves: two charts that share the epoch under the pointer and the models that are switched on.
let showCurves; // exactly those of the models of some names
{
  const { models, floor, loss } = DATA;
  const HEIGHT = 300; // pixels, as all that follow
  const [LEFT, RIGHT, TOP, BOTTOM] = [46, 14, 10, 30];
  const MOST_MARKED = 24; // points of a curve
  const off = new Set();
  const visible = () => models.filter((model) => !off.has(model));
  const last = Math.max(...models.map((model) => model.epochs.at(-1)));
  const slider = Object.assign(byId("epoch"), { max: last, value: last });
  const charts = [
    {
      svg: byId("chart-loss"),
      column: "loss",
      thin: "train_loss",
      log: true,
      name: (value) => Number(value.toPrecision(2)),
    },
    {
      svg: byId("chart-miou"),
      column: "miou",
      log: false,
      name: (value) => Math.round(100 * value),
    },
  ];

  /** Whether a value has a place on the axis. */
  const drawable = (value, log) => value !== null && (!log || value > 0);

  /** Lowest and highest value of the models that are on. */
  function range({ column, thin, log }) {
    const values = visible()
      .flatMap((model) => [...model[column], ...(model[thin] ?? [])])
      .filter((value) => drawable(value, log));
    if (!log) return [0, Math.max(floor, 0.05, ...values)];
    return values.length ? [Math.min(...values) * 0.9, Math.max(...values) * 1.1] : [0.1, 10];
  }

  function draw(chart) {
    const { svg, log, thin, column } = chart;
    const [low, high] = range(chart);
    const along = (value) => (log ? Math.log(value) : value);
    const share = (value) => (along(value) - along(low)) / (along(high) - along(low));
    chart.x = (epoch) => LEFT + (epoch / last) * (svg.clientWidth - LEFT - RIGHT);
    chart.y = (value) => HEIGHT - BOTTOM - share(value) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute("viewBox", `0 0 ${svg.clientWidth} ${HEIGHT}`);
    svg.replaceChildren();
    axes(chart, ticks(low, high, log));
    chart.guide = shape(svg, "path", { class: "guide" });
    for (const model of visible()) {
      const look = { class: "series", style: paint(model), "data-model": model.name };
      const group = shape(svg, "g", look);
      if (thin) line(group, chart, model, thin, { class: "thin", "stroke-dasharray": "3 3" });
      line(group, chart, model, column, { class: "line", "stroke-dasharray": model.dash });
      marks(group, chart, model);
    }
  }

  function axes({ svg, x, y, log, name }, values) {
    const across = `H${svg.clientWidth - RIGHT}`;
    for (const value of values) {
      shape(svg, "path", { class: "rule", d: `M${LEFT} ${y(value)}${across}` });
      shape(svg, "text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, name(value));
    }
    for (const epoch of ticks(0, last, false).filter(Number.isInteger)) {
      shape(svg, "text", { x: x(epoch), y: HEIGHT - 10, "text-anchor": "middle" }, epoch);
    }
    if (!log) shape(svg, "path", { class: "floor", d: `M${LEFT} ${y(floor)}${across}` });
  }

  /** A curve, broken where there is no value. */
  function line(group, { x, y, log }, model, column, look) {
    const steps = model[column].map((value, k) => {
      if (!drawable(value, log)) return "";
      const pen = k > 0 && drawable(model[column][k - 1], log) ? "L" : "M";
      return `${pen}${x(model.epochs[k]).toFixed(1)} ${y(value).toFixed(1)}`;
    });
    shape(group, "path", { ...look, d: steps.join("") });
  }

  function marks(group, { x, y, log, column }, model) {
    const every = Math.ceil(model.epochs.length / MOST_MARKED);
    model[column].forEach((value, k) => {
      if (k % every || !drawable(value, log)) return;
      const d = marker(model.marker, x(model.epochs[k]), y(value));
      shape(group, "path", { class: "mark", d });
    });
  }

  /** The numbers of one epoch: a guide in both charts and a column in the list. */
  function read(epoch) {
    slider.value = epoch;
    byId("epoch-shown").textContent = epoch;
    for (const { guide, x } of charts)
      guide.setAttribute("d", `M${x(epoch)} ${TOP}V${HEIGHT - BOTTOM}`);
    models.forEach((model, i) => {
      const k = model.epochs.indexOf(Number(epoch));
      const [, ...cells] = byId("switches").tBodies[0].rows[i].cells;
      const losses = [model.loss, model.train_loss].map((values) => values[k]?.toFixed(3) ?? "–");
      const shown = [...losses, percent(model.miou[k] ?? null)];
      cells.forEach((cell, j) => (cell.textContent = shown[j]));
    });
  }

  function redraw() {
    charts.forEach(draw);
    read(slider.value);
  }

  showCurves = (names) => {
    off.clear();
    models.forEach((model, i) => {
      const on = names.includes(model.name);
      byId("switches").tBodies[0].rows[i].querySelector("input").checked = on;
      if (!on) off.add(model);
    });
    redraw();
  };

  function row(model) {
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      if (box.checked) off.delete(model);
      else off.add(model);
      redraw();
    });
    const key = shape(element("span"), "svg", {
      class: "key series",
      viewBox: "0 0 28 12",
      "aria-hidden": "true",
      style: paint(model),
    });
    shape(key, "path", { class: "line", d: "M0 6H28", "stroke-dasharray": model.dash });
    shape(key, "path", { class: "mark", d: marker(model.marker, 14, 6) });
    const label = element("label", {}, box, key, model.name);
    const cells = ["val loss", "train loss", "val mIoU"].map(() => element("td"));
    return element("tr", {}, element("th", { scope: "row" }, label), ...cells);
  }

  byId("loss-name").textContent = `${loss}, logarithmic`;
  byId("switches").tBodies[0].append(...models.map(row));
  slider.addEventListener("input", () => read(slider.value));
  for (const { svg } of charts) {
    svg.addEventListener("pointermove", ({ offsetX }) => {
      const share = (offsetX - LEFT) / (svg.clientWidth - LEFT - RIGHT);
      read(Math.round(last * Math.min(1, Math.max(0, share))));
    });
  }
  new ResizeObserver(redraw).observe(charts[0].svg);
}

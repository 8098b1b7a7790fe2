// mIoU against one cost: points with their intervals, the Pareto front, a name beside each point.
{
  const { models, costs } = DATA;
  const svg = byId("chart-cost");
  const HEIGHT = 380; // pixels, as all that follow
  const [LEFT, RIGHT, TOP, BOTTOM] = [46, 14, 12, 46];
  const MARKER = 8; // half the side of the square that a marker fills
  const [NEAR, FAR, STEP] = [10, 220, 8]; // from a marker to its name: first try, last, between
  // Where a name may be: to the right, above, below, to the left.
  const AROUND = [
    [1, 0], [1, -1], [1, 1], [-1, -1],
    [-1, 1], [-1, 0], [0, -1], [0, 1],
    [1, -0.5], [1, 0.5], [-1, -0.5], [-1, 0.5],
    [0.5, -1], [-0.5, -1], [0.5, 1], [-0.5, 1],
  ];
  const box = (x, y, width, height) => ({ x, y, width, height });
  const overlap = (a, b) =>
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

  /** A straight line as small boxes. */
  function trace([x0, y0], [x1, y1]) {
    const steps = Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0)) / 3) || 1;
    return Array.from({ length: steps + 1 }, (_, k) => {
      const share = k / steps;
      return box(x0 + share * (x1 - x0) - 1, y0 + share * (y1 - y0) - 1, 2, 2);
    });
  }

  /** Axes with units; the places of values on them. */
  function scales({ name, cost, miou_low, miou_high }) {
    const [least, most] = [Math.min(...cost) / 1.25, Math.max(...cost) * 1.25];
    const [low, high] = [Math.min(...miou_low) - 0.03, Math.max(...miou_high) + 0.05];
    const [right, bottom] = [svg.clientWidth - RIGHT, HEIGHT - BOTTOM];
    const x = (value) => LEFT + (Math.log(value / least) / Math.log(most / least)) * (right - LEFT);
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - TOP);
    for (const value of ticks(low, high, false)) {
      const height = y(value);
      shape(svg, "path", { class: "rule", d: `M${LEFT} ${height}H${right}` });
      const place = { x: LEFT - 8, y: height + 4, "text-anchor": "end" };
      shape(svg, "text", place, Math.round(100 * value));
    }
    for (const value of ticks(least, most, true)) {
      shape(svg, "path", { class: "rule", d: `M${x(value)} ${TOP}V${bottom}` });
      const place = { x: x(value), y: bottom + 16, "text-anchor": "middle" };
      shape(svg, "text", place, Number(value.toPrecision(3)));
    }
    const middle = { x: (LEFT + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" };
    shape(svg, "text", middle, `${name}, logarithmic`);
    return { x, y };
  }

  /** Corners of the front's steps. */
  function steps({ cost, miou, front }, { x, y }) {
    const corners = front.flatMap((i, k) => {
      const here = [x(cost[i]), y(miou[i])];
      return k ? [[here[0], y(miou[front[k - 1]])], here] : [here];
    });
    return [...corners, [svg.clientWidth - RIGHT, corners.at(-1)[1]]];
  }

  /** Put a name at the nearest place that nothing fills, with a line to it if that is far. */
  function place(text, [x, y], taken) {
    const { width, height } = text.getBBox();
    const own = box(x - MARKER, y - MARKER, 2 * MARKER, 2 * MARKER);
    const others = taken.filter((each) => !overlap(each, own));
    const tries = Array.from({ length: FAR / STEP }, (_, k) => NEAR + k * STEP);
    // Where there is no other way, the line crosses something.
    for (const [distance, mayCross] of [false, true].flatMap((may) => tries.map((d) => [d, may]))) {
      for (const [across, down] of AROUND) {
        const middle = [x + across * (distance + width / 2), y + down * (distance + height / 2)];
        const filled = box(middle[0] - width / 2, middle[1] - height / 2, width, height);
        const line = (distance > NEAR ? trace(middle, [x, y]) : []).filter(
          (dot) => !overlap(dot, own) && !overlap(dot, filled),
        );
        const fits = filled.x >= LEFT && filled.x + width <= svg.clientWidth;
        const inside = fits && filled.y >= 0 && filled.y + height <= HEIGHT - BOTTOM;
        const crossed = line.some((dot) => others.some((each) => overlap(dot, each)));
        if (!inside || taken.some((each) => overlap(each, filled))) continue;
        if (crossed && !mayCross) continue;
        text.setAttribute("x", middle[0]);
        text.setAttribute("y", middle[1]);
        return [filled, ...line];
      }
    }
    text.remove(); // the table has the numbers
    return [];
  }

  function draw() {
    const chosen = costs[byId("cost-kind").value];
    svg.setAttribute("viewBox", `0 0 ${svg.clientWidth} ${HEIGHT}`);
    svg.replaceChildren();
    const scale = scales(chosen);
    const corners = steps(chosen, scale);
    const path = corners.map((corner) => corner.map((pixels) => pixels.toFixed(1)).join(" "));
    shape(svg, "path", { class: "front", d: `M${path.join("L")}` });
    const taken = corners.slice(1).flatMap((corner, k) => trace(corners[k], corner));
    const points = models.map((model, i) => {
      const at = [scale.x(chosen.cost[i]), scale.y(chosen.miou[i])];
      const [top, bottom] = [scale.y(chosen.miou_high[i]), scale.y(chosen.miou_low[i])];
      const look = { class: "series", style: paint(model), "data-model": model.name };
      const group = shape(svg, "g", look);
      shape(group, "path", { class: "bar-of", d: `M${at[0]} ${top}V${bottom}` });
      shape(group, "path", { class: "mark", d: marker(model.marker, ...at, 6) });
      taken.push(box(at[0] - 2, top, 4, bottom - top));
      taken.push(box(at[0] - MARKER, at[1] - MARKER, 2 * MARKER, 2 * MARKER));
      return { model, at, group };
    });
    for (const { model, at, group } of points.sort((a, b) => a.at[1] - b.at[1])) {
      const centred = { class: "name", "text-anchor": "middle", "dominant-baseline": "central" };
      const [filled, ...line] = place(shape(group, "text", centred, model.name), at, taken);
      if (!filled) continue;
      taken.push(filled, ...line);
      if (!line.length) continue;
      const [first, last] = [line[0], line.at(-1)];
      const d = `M${first.x + 1} ${first.y + 1}L${last.x + 1} ${last.y + 1}`;
      shape(group, "path", { class: "leader", d });
    }
  }

  fill(
    byId("cost-kind"),
    costs.map(({ name }, i) => [i, name]),
  );
  byId("cost-kind").value = costs.findIndex(({ name }) => name.startsWith("latency"));
  byId("cost-kind").addEventListener("change", draw);
  new ResizeObserver(draw).observe(svg);
}

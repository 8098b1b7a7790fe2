// What charts share: SVG shapes, markers, ticks.
const SVG = byId("chart-loss").namespaceURI;
// Corners of a marker, and how far it is turned in degrees; names are those of the PNG figures.
const CORNERS = {
  o: [24, 0],
  s: [4, 45],
  D: [4, 0],
  "^": [3, -90],
  v: [3, 90],
  p: [5, -90],
  "<": [3, 180],
  ">": [3, 0],
};
// What is black on paper is white in the dark.
const paint = ({ colour }) => `--series: ${colour === "#000000" ? "var(--ink)" : colour}`;

function shape(parent, name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

/** Path of a marker: a polygon around (x, y). */
function marker(kind, x, y, radius = 4.5) {
  const [corners, turn] = CORNERS[kind];
  const points = Array.from({ length: corners }, (_, k) => {
    const angle = (turn / 180 + (2 * k) / corners) * Math.PI;
    const place = [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
    return place.map((pixels) => pixels.toFixed(1)).join(" ");
  });
  return `M${points.join("L")}Z`;
}

/** Round values that divide an axis: 1, 2, 5, 10, ... if logarithmic and wide, else even steps. */
function ticks(low, high, log) {
  const found = [];
  if (log) {
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
    }
  } else {
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].findLast((digit) => digit * power <= rough) ?? 1);
    for (let k = Math.ceil(low / step); k * step <= high + 1e-9; k++) found.push(k * step);
  }
  const inside = found.filter((value) => value >= low && value <= high + 1e-9);
  return log && inside.length < 3 ? ticks(low, high, false) : inside;
}

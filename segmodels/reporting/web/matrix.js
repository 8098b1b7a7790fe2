// Confusion matrix of a chosen model, and the confusions that cost it most pixels.
{
  const { classes, models } = DATA;
  const WORST = 8; // pairs that are named
  const total = (row) => row.reduce((sum, count) => sum + count, 0);
  const pixels = (count) => `${count.toLocaleString("en")} pixels`;
  const table = byId("matrix");

  function cell(counts, t, p) {
    const share = counts[t][p] / Math.max(1, total(counts[t]));
    const textContent = share < 0.005 ? "" : Math.round(100 * share);
    const title = `${classes[t]} → ${classes[p]}: ${percent(share)}, ${pixels(counts[t][p])}`;
    const className = t === p ? "right" : "";
    return element("td", { textContent, title, className, style: { "--share": share } });
  }

  function show(counts) {
    const heads = classes.map((name) =>
      element("th", { scope: "col" }, element("span", { textContent: name })),
    );
    table.tHead.replaceChildren(
      element("tr", {}, element("th", { textContent: "true ↓ predicted →" }), ...heads),
    );
    table.tBodies[0].replaceChildren(
      ...classes.map((name, t) => {
        const cells = classes.map((_, p) => cell(counts, t, p));
        return element("tr", {}, element("th", { scope: "row", textContent: name }), ...cells);
      }),
    );
    const pairs = counts.flatMap((row, t) => row.map((count, p) => ({ count, t, p })));
    const wrong = pairs
      .filter(({ count, t, p }) => count && t !== p)
      .sort((a, b) => b.count - a.count);
    byId("worst-pairs").replaceChildren(
      ...wrong.slice(0, WORST).map(({ count, t, p }) => {
        const share = percent(count / total(counts[t]));
        const pair = `${classes[t]} taken for ${classes[p]}`;
        const textContent = `${pair}: ${pixels(count)}, ${share} of all ${classes[t]}`;
        return element("li", { textContent });
      }),
    );
  }

  const say = (text) => (byId("matrix-here").textContent = text || "\u00a0"); // keeps its height
  table.addEventListener("pointerover", ({ target }) => say(target.title));
  const names = models.map((model, i) => [i, model.name]);
  fill(byId("matrix-model"), names);
  byId("matrix-model").addEventListener("change", ({ target }) => {
    show(models[target.value].confusion);
  });
  say("");
  show(models[0].confusion);
}

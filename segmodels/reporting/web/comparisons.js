// Comparisons: scores, differences, curves and classes show the models of one, or all models.
{
  const all = DATA.models.map((model) => model.name);
  const presets = { "all models": all, ...DATA.comparisons };

  /** Rows of models that are not among the names; what is no model, as the floor, stays. */
  function filterRows(id, names) {
    for (const row of byId(id).tBodies[0].rows) {
      const model = row.cells[0].dataset.value;
      row.hidden = all.includes(model) && !names.includes(model);
    }
  }

  /** Rows of pairs, "first − second". */
  function filterPairs(names) {
    const pairs = new Set(names.flatMap((one) => names.map((other) => `${one} − ${other}`)));
    for (const row of byId("differences")?.tBodies[0].rows ?? []) {
      row.hidden = !pairs.has(row.cells[0].dataset.value);
    }
  }

  /** Columns of models. */
  function filterColumns(table, names) {
    const shown = [...table.tHead.rows[0].cells].map(
      (head, k) => k === 0 || names.includes(head.textContent.trim()),
    );
    for (const row of table.rows) {
      [...row.cells].forEach((cell, k) => (cell.hidden = !shown[k]));
    }
  }

  function choose(chosen) {
    const names = presets[chosen];
    for (const button of byId("presets").children) {
      button.ariaPressed = String(button.textContent === chosen);
    }
    filterRows("scores", names);
    filterPairs(names);
    for (const table of document.querySelectorAll("table.heat.sortable")) filterColumns(table, names);
    showCurves(names);
  }

  for (const name of Object.keys(presets)) {
    const button = element("button", { type: "button", textContent: name });
    button.addEventListener("click", () => choose(name));
    byId("presets").append(button);
  }
  choose(Object.keys(DATA.comparisons)[0] ?? "all models");
}

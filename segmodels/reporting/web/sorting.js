// Tables: a click on a heading sorts by its column, a second one turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];

  /** Numbers by size, names by letter, blanks last in both orders. */
  const compare = (column, sign) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column].dataset.value);
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (column && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b));
  };

  heads.forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const first = column ? "descending" : "ascending";
      const second = column ? "ascending" : "descending";
      const order = head.ariaSort === first ? second : first;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.ariaSort = order;
      const sorted = [...body.rows].sort(compare(column, order === "ascending" ? 1 : -1));
      body.append(...sorted);
    });
  });
}

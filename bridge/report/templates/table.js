(() => {
  const table = document.querySelector("table.sortable");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];

  // Missing values stay last in both directions; NaN counts as below every number.
  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v === undefined) return cell.textContent.trim().toLowerCase();
    const value = Number(cell.dataset.v);
    return cell.dataset.v === "" ? null : Number.isNaN(value) ? -Infinity : value;
  };

  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("th");
    if (!header) return;
    const column = headers.indexOf(header);
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const sorted = [...rows].sort((one, other) => {
      const [a, b] = [key(one, column), key(other, column)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a < b ? -1 : a > b ? 1 : 0);
    });
    body.replaceChildren(...sorted);
    headers.forEach((one) => one.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  });
})();

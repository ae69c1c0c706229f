(() => {
  const table = document.getElementById("layer-table");
  if (!table) return;
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const columns = new Map(headers.map((header, index) => [header.dataset.key, { index, numeric: header.classList.contains("n"), first: header.dataset.first || "asc" }]));
  const rows = [...body.rows].map((element, order) => ({
    element,
    order,
    text: element.textContent.toLowerCase(),
    precision: element.dataset.precision,
    status: element.dataset.status,
    keys: new Map(),
  }));
  const find = document.getElementById("find");
  const precision = document.getElementById("precision");
  const status = document.getElementById("status");
  const count = document.getElementById("count");
  let state = { sort: "order", order: "asc" };

  function key(row, name) {
    if (!row.keys.has(name)) {
      const { index, numeric } = columns.get(name);
      const cell = row.element.cells[index];
      row.keys.set(name, !numeric ? cell.textContent.trim().toLowerCase() : cell.dataset.v === "" ? null : Number(cell.dataset.v));
    }
    return row.keys.get(name);
  }

  // Missing values stay last in both directions; NaN counts as below every number.
  function compare(a, b, numeric) {
    if (!numeric) return a < b ? -1 : a > b ? 1 : 0;
    const left = Number.isNaN(a) ? -Infinity : a;
    const right = Number.isNaN(b) ? -Infinity : b;
    return left === right ? 0 : left < right ? -1 : 1;
  }

  function sort() {
    const { numeric } = columns.get(state.sort);
    const sign = state.order === "desc" ? -1 : 1;
    const empty = (row) => key(row, state.sort) === null || key(row, state.sort) === "";
    const sorted = [...rows].sort((a, b) => empty(a) - empty(b) || (empty(a) ? 0 : sign * compare(key(a, state.sort), key(b, state.sort), numeric)) || a.order - b.order);
    body.replaceChildren(...sorted.map((row) => row.element));
    headers.forEach((header) => {
      if (header.dataset.key === state.sort) header.setAttribute("aria-sort", state.order === "desc" ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
  }

  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const visible =
        (!precision.value || row.precision === precision.value) && (!status.value || row.status === status.value) && words.every((word) => row.text.includes(word));
      row.element.hidden = !visible;
      shown += visible;
    }
    count.textContent = shown === rows.length ? `${shown} tensors` : `${shown} of ${rows.length} tensors`;
  }

  // The address says how the table is sorted and filtered, so a link shows the same: #sort=own&order=asc&find=conv&precision=float32&status=mapped
  function remember() {
    const hash = new URLSearchParams({ sort: state.sort, order: state.order });
    for (const [name, field] of [["find", find], ["precision", precision], ["status", status]]) if (field.value) hash.set(name, field.value);
    history.replaceState(null, "", `#${hash}`);
  }

  function recall() {
    if (!location.hash.includes("=")) return false;
    const hash = new URLSearchParams(location.hash.slice(1));
    const wanted = hash.get("sort");
    if (columns.has(wanted)) state = { sort: wanted, order: hash.get("order") || columns.get(wanted).first };
    find.value = hash.get("find") || "";
    for (const [name, field] of [["precision", precision], ["status", status]]) {
      field.value = hash.get(name) || "";
      if (field.selectedIndex < 0) field.value = "";
    }
    sort();
    filter();
    return true;
  }

  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("th");
    if (!header) return;
    const name = header.dataset.key;
    const first = columns.get(name).first;
    state = { sort: name, order: state.sort === name && state.order === first ? (first === "asc" ? "desc" : "asc") : first };
    sort();
    remember();
  });
  for (const field of [find, precision, status]) field.addEventListener("input", () => { filter(); remember(); });
  document.getElementById("reset").addEventListener("click", () => {
    find.value = precision.value = status.value = "";
    state = { sort: "order", order: "asc" };
    sort();
    filter();
    history.replaceState(null, "", "#layers");
  });

  function show(id) {
    const row = document.getElementById(id);
    if (!row) return;
    if (row.hidden) {
      find.value = precision.value = status.value = "";
      filter();
    }
    body.querySelectorAll(".hit").forEach((other) => other.classList.remove("hit"));
    row.classList.add("hit");
    row.scrollIntoView({ block: "center" });
  }
  const inGraph = (row, scroll) => document.dispatchEvent(new CustomEvent("show-in-graph", { detail: { row, scroll } }));
  const rowOf = (element) => Number(element.id.slice("row-".length));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#row-'], a[href^='#graph-row-']");
    if (!link) return;
    event.preventDefault();
    const graph = link.hash.startsWith("#graph-row-");
    if (graph) inGraph(Number(link.hash.slice("#graph-row-".length)), true);
    else {
      show(link.hash.slice(1));
      focusRow(document.getElementById(link.hash.slice(1)), false);
    }
  });

  // One row of the table is in the tab order; the arrows move that on.
  function focusRow(row, scroll = true) {
    if (!row) return;
    body.querySelectorAll("tr[tabindex='0']").forEach((other) => { other.tabIndex = -1; });
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    if (scroll) row.scrollIntoView({ block: "nearest" });
  }
  const beside = (row, side) => {
    let other = row[side];
    while (other && other.hidden) other = other[side];
    return other;
  };
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.key === "ArrowDown") focusRow(beside(row, "nextElementSibling"));
    else if (event.key === "ArrowUp") focusRow(beside(row, "previousElementSibling"));
    else if (event.key === "Home") focusRow([...body.rows].find((other) => !other.hidden));
    else if (event.key === "End") focusRow([...body.rows].reverse().find((other) => !other.hidden));
    else if (event.key === "Enter") inGraph(rowOf(row), true);
    else return;
    event.preventDefault();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || String(getSelection())) return;
    focusRow(row, false);
    inGraph(rowOf(row), false);
  });
  rows.forEach((row) => { row.element.tabIndex = -1; });
  if (rows.length) rows[0].element.tabIndex = 0;

  const svg = document.getElementById("depth");
  if (svg) {
    const tip = document.getElementById("tip");
    const cursor = svg.querySelector(".cursor");
    const xs = svg.dataset.xs.split(",").map(Number);
    const ids = svg.dataset.rows.split(",");
    const nearest = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      let low = 0;
      let high = xs.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (xs[middle] < x) low = middle + 1;
        else high = middle;
      }
      return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
    };
    let at = 0;
    const point = (place) => {
      at = place;
      const row = document.getElementById(`row-${ids[place]}`);
      const cell = (name) => row.cells[columns.get(name).index].textContent.trim();
      const lines = [`${row.dataset.name}`, `${cell("op")}, ${cell("precision")}`];
      for (const name of ["conversion", "inherited", "own"]) if (cell(name) !== "-") lines.push(`${name} ${cell(name)} dB`);
      tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
      tip.hidden = false;
      const box = svg.getBoundingClientRect();
      const left = (xs[place] / svg.viewBox.baseVal.width) * box.width;
      tip.style.left = `${left < box.width / 2 ? left + 12 : left - 12 - tip.offsetWidth}px`;
      tip.style.top = "8px";
      cursor.setAttribute("x1", xs[place]);
      cursor.setAttribute("x2", xs[place]);
      cursor.style.visibility = "visible";
    };
    const leave = () => { tip.hidden = true; cursor.style.visibility = "hidden"; };
    const open = (place) => {
      if (document.getElementById("graph-canvas")) inGraph(Number(ids[place]), true);
      else show(`row-${ids[place]}`);
    };
    svg.addEventListener("mousemove", (event) => point(nearest(event)));
    svg.addEventListener("mouseleave", leave);
    svg.addEventListener("blur", leave);
    svg.addEventListener("focus", () => point(at));
    svg.addEventListener("click", (event) => open(nearest(event)));
    const KEYS = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => xs.length - 1 };
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Enter") open(at);
      else if (KEYS[event.key]) point(Math.min(xs.length - 1, Math.max(0, KEYS[event.key]())));
      else return;
      event.preventDefault();
    });
  }

  window.addEventListener("hashchange", recall);
  if (recall()) document.getElementById("layers").scrollIntoView();
  else filter();
})();

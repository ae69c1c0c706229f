"use strict";
// The graph: layers from top to bottom on a canvas, an overview beside it, details of the chosen node. Names and figures are those of the layer table.
(() => {
  const canvas = document.getElementById("graph-canvas");
  if (!canvas) return;
  const PITCH = { x: 190, y: 66 };
  const BOX = { width: 166, height: 42 };
  const SCALE = { least: 0.002, most: 2.5, readable: 0.9, text: 0.42 };
  const LINKED = 3; // ranks between two nodes up to which the shade of their island joins them
  const MANY = 8; // names that are listed of a node's neighbours
  const PAD = 11; // of an island around its nodes
  const overview = document.getElementById("graph-map");
  const details = document.getElementById("graph-details");
  const find = document.getElementById("graph-find");
  const found = document.getElementById("graph-found");
  const colouring = document.getElementById("graph-colour");
  const head = [...document.getElementById("layer-table").tHead.rows[0].cells];
  const column = new Map(head.map((cell, index) => [cell.dataset.key, index]));

  const data = JSON.parse(canvas.dataset.graph);
  const nodes = data.nodes.map(([row, x, rank, island]) => {
    const element = document.getElementById(`row-${row}`);
    const value = (key) => {
      const text = element.cells[column.get(key)].dataset.v;
      return text === "" ? null : Number(text);
    };
    return {
      row, rank, island, element,
      x: (x / data.steps) * PITCH.x,
      y: rank * PITCH.y,
      name: element.dataset.name,
      op: element.cells[column.get("op")].textContent.trim(),
      kind: element.dataset.kind,
      precision: element.dataset.precision,
      values: { own: value("own"), inherited: value("inherited"), conversion: value("conversion") },
      before: [], after: [], parts: [],
    };
  });
  const edges = data.edges.map(([writer, reader, ...bends]) => {
    const [from, to] = [nodes[writer], nodes[reader]];
    from.after.push(to);
    to.before.push(from);
    const between = to.rank - from.rank - 1;
    const points = bends.length === between ? bends.map((x, step) => [(x / data.steps) * PITCH.x, (from.rank + 1 + step) * PITCH.y]) : [];
    return { from, to, straight: bends.length === between, points: [[from.x, from.y + BOX.height / 2], ...points, [to.x, to.y - BOX.height / 2]] };
  });
  const right = Math.max(...nodes.map((node) => node.x));
  const ranks = Math.max(...nodes.map((node) => node.rank)) + 1;
  const byRank = new Map();
  for (const node of nodes) byRank.set(node.rank, [...(byRank.get(node.rank) || []), node]);
  for (const layer of byRank.values()) layer.sort((a, b) => a.x - b.x);
  const byRow = new Map(nodes.map((node) => [node.row, node]));
  // Nodes of the user's file that others stand for: they are found by their own names too.
  for (const element of document.querySelectorAll("#layer-table tr[data-into]")) {
    const node = byRow.get(Number(element.dataset.into));
    byRow.set(Number(element.id.slice("row-".length)), node);
    if (element.dataset.name !== node.name) node.parts.push(element.dataset.name);
  }

  // A node's SQNR falls into one of these classes; the last is for what was not measured.
  const CLASSES = [[10, "bad"], [20, "poor"], [30, "fair"], [Infinity, "fine"]];
  const classOf = (value) => (value === null ? "unknown" : Number.isNaN(value) ? "bad" : (CLASSES.find(([bound]) => value < bound) || CLASSES[3])[1]);
  const order = ["bad", "poor", "fair", "fine", "unknown"];

  let view = { scale: SCALE.readable, x: 0, y: 0 }; // the graph's point in the middle of the canvas
  let size = { width: 1, height: 1 };
  let chosen = null;
  let hits = [];
  let palette = {};
  let pending = false;

  function readPalette(element) {
    const style = getComputedStyle(element);
    palette = Object.fromEntries(
      ["page", "card", "ink", "soft", "line", "accent", "int", "float", "mixed", "none", "island", "g-bad", "g-poor", "g-fair", "g-fine", "g-unknown", "on-bad", "on-poor"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
    );
  }

  function fitted(target) {
    const box = target.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (target.width !== width || target.height !== height) [target.width, target.height] = [width, height];
    const context = target.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.direction = "ltr";
    context.clearRect(0, 0, box.width, box.height);
    return [context, box];
  }

  const screen = (x, y) => [(x - view.x) * view.scale + size.width / 2, (y - view.y) * view.scale + size.height / 2];
  const fill = (node) => (colouring.value === "precision" ? palette[node.kind] : palette[`g-${classOf(node.values[colouring.value])}`]);

  const inkOn = (node) => {
    if (colouring.value === "precision") return node.kind === "none" ? palette.ink : palette.card;
    return palette[`on-${classOf(node.values[colouring.value])}`] || palette.ink;
  };

  function shortened(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    let keep = Math.max(3, Math.floor((text.length * width) / context.measureText(text).width) - 1);
    while (keep > 3 && context.measureText(`…${text.slice(-keep)}`).width > width) keep -= 1;
    return `…${text.slice(-keep)}`;
  }

  function draw() {
    pending = false;
    const [context, box] = fitted(canvas);
    size = { width: box.width, height: box.height };
    if (!size.width) return;
    const seen = (x0, x1, y0, y1) => {
      const [left, top] = screen(x0, y0);
      const [end, bottom] = screen(x1, y1);
      return end >= 0 && left <= size.width && bottom >= 0 && top <= size.height;
    };
    const inSight = nodes.filter((node) => seen(node.x - PITCH.x, node.x + PITCH.x, node.y - PITCH.y, node.y + PITCH.y));
    const box4 = (node, pad) => {
      const [left, top] = screen(node.x - BOX.width / 2 - pad, node.y - BOX.height / 2 - pad);
      return [left, top, Math.max(1, (BOX.width + 2 * pad) * view.scale), Math.max(1, (BOX.height + 2 * pad) * view.scale)];
    };
    context.fillStyle = context.strokeStyle = palette.island;
    for (const node of inSight) {
      if (node.island < 0) continue;
      context.beginPath();
      context.roundRect(...box4(node, PAD), 12 * view.scale);
      context.fill();
    }
    context.lineWidth = 60 * view.scale;
    for (const edge of edges) if (edge.from.island >= 0 && edge.from.island === edge.to.island && edge.to.rank - edge.from.rank <= LINKED && touches(edge, seen)) trace(context, edge);
    for (const edge of edges) {
      if (!touches(edge, seen)) continue;
      const near = chosen && (edge.from === chosen || edge.to === chosen);
      context.strokeStyle = near ? palette.accent : palette.none;
      context.globalAlpha = near || edge.straight ? 1 : 0.35;
      context.lineWidth = Math.max(0.6, (near ? 2.6 : 1.4) * Math.min(1, view.scale * 1.5));
      trace(context, edge);
    }
    context.globalAlpha = 1;
    const marked = new Set(hits);
    for (const node of inSight) {
      const [left, top, width, height] = box4(node, 0);
      context.beginPath();
      context.roundRect(left, top, width, height, 6 * view.scale);
      context.fillStyle = fill(node);
      context.fill();
      if (view.scale > 0.1) {
        context.fillStyle = palette[node.kind];
        context.fillRect(left, top + 5 * view.scale, 5 * view.scale, height - 10 * view.scale);
        context.strokeStyle = node === chosen || marked.has(node) ? palette.accent : palette.line;
        context.lineWidth = node === chosen ? 3 : marked.has(node) ? 2 : 1;
        context.stroke();
      } else if (node === chosen || marked.has(node)) {
        context.fillStyle = palette.accent;
        context.fillRect(left - 2, top - 2, width + 4, Math.max(5, height + 4));
      }
      if (view.scale >= SCALE.text) label(context, node, left, top, width);
    }
    drawOverview();
  }

  function touches(edge, seen) {
    const xs = edge.points.map(([x]) => x);
    return seen(Math.min(...xs), Math.max(...xs), edge.points[0][1], edge.points[edge.points.length - 1][1]);
  }

  function trace(context, edge) {
    context.beginPath();
    edge.points.forEach(([x, y], place) => {
      const [toX, toY] = screen(x, y);
      if (place === 0) return context.moveTo(toX, toY);
      const [fromX, fromY] = screen(...edge.points[place - 1]);
      if (Math.abs(fromX - toX) < 0.5) return context.lineTo(toX, toY);
      const middle = (fromY + toY) / 2;
      return context.bezierCurveTo(fromX, middle, toX, middle, toX, toY);
    });
    context.stroke();
  }

  function label(context, node, left, top, width) {
    const mode = colouring.value;
    const inner = width - 18 * view.scale;
    context.fillStyle = inkOn(node);
    context.textBaseline = "middle";
    context.font = `600 ${12.5 * view.scale}px system-ui, sans-serif`;
    const figure = mode === "precision" ? "" : number(node.values[mode]);
    context.textAlign = "right";
    context.fillText(figure, left + width - 8 * view.scale, top + 14 * view.scale);
    const room = inner - context.measureText(figure).width - 6 * view.scale;
    context.textAlign = "left";
    context.fillText(shortened(context, node.op, room), left + 11 * view.scale, top + 14 * view.scale);
    context.font = `${11 * view.scale}px system-ui, sans-serif`;
    context.fillText(shortened(context, node.name, inner), left + 11 * view.scale, top + 30 * view.scale);
  }

  const number = (value) => (value === null ? "" : Number.isNaN(value) ? "NaN" : value === Infinity ? "∞" : value === -Infinity ? "-∞" : value.toFixed(1));

  function drawOverview() {
    const [context, box] = fitted(overview);
    if (!box.width) return;
    const rows = Math.min(ranks, Math.floor(box.height));
    const worst = new Array(rows).fill(order.length - 1);
    const strip = new Array(rows).fill("");
    for (const node of nodes) {
      const at = Math.min(rows - 1, Math.floor((node.rank / ranks) * rows));
      worst[at] = Math.min(worst[at], order.indexOf(classOf(node.values[colouring.value === "precision" ? "own" : colouring.value])));
      if (node.kind !== "none" && strip[at] !== "float") strip[at] = node.kind;
    }
    const height = box.height / rows;
    for (let at = 0; at < rows; at += 1) {
      context.fillStyle = palette[`g-${order[worst[at]]}`];
      context.fillRect(8, at * height, box.width - 8, Math.ceil(height));
      if (strip[at]) {
        context.fillStyle = palette[strip[at]];
        context.fillRect(0, at * height, 6, Math.ceil(height));
      }
    }
    const place = (y) => (y / (ranks * PITCH.y)) * box.height;
    const top = place(view.y - size.height / 2 / view.scale + PITCH.y / 2);
    const bottom = place(view.y + size.height / 2 / view.scale + PITCH.y / 2);
    context.strokeStyle = palette.ink;
    context.lineWidth = 2;
    context.strokeRect(1, Math.max(1, top), box.width - 2, Math.max(6, Math.min(box.height - 2, bottom) - Math.max(1, top)));
  }

  function redraw() {
    if (!pending) {
      pending = true;
      requestAnimationFrame(draw);
    }
  }

  function fit() {
    const scale = Math.min(size.width / (right + PITCH.x), size.height / (ranks * PITCH.y));
    view = { scale: clamp(scale), x: right / 2, y: ((ranks - 1) * PITCH.y) / 2 };
    redraw();
  }
  const clamp = (scale) => Math.min(SCALE.most, Math.max(SCALE.least, scale));

  function zoom(factor, x = size.width / 2, y = size.height / 2) {
    const scale = clamp(view.scale * factor);
    const keep = (1 / view.scale - 1 / scale);
    view = { scale, x: view.x + (x - size.width / 2) * keep, y: view.y + (y - size.height / 2) * keep };
    redraw();
  }

  function choose(node, { move = true } = {}) {
    chosen = node;
    if (node && move) {
      if (view.scale < SCALE.text) view.scale = SCALE.readable;
      [view.x, view.y] = [node.x, node.y];
    }
    describe(node);
    redraw();
  }

  function describe(node) {
    if (!node) {
      details.replaceChildren(make("p", "Choose a node.", "soft"));
      return;
    }
    const cell = (key) => node.element.cells[column.get(key)];
    const list = document.createElement("dl");
    const add = (label, ...values) => {
      const entry = document.createElement("dd");
      entry.append(...values);
      list.append(make("dt", label), entry);
    };
    add("Operator", node.op);
    add("Precision", cell("precision").firstElementChild.cloneNode(true));
    for (const [key, label, unit] of [["own", "Own error", " dB"], ["inherited", "Inherited", " dB"], ["conversion", "Conversion", " dB"], ["rmse", "RMSE / scale", ""], ["max_abs", "Max abs", ""]]) {
      const text = cell(key).textContent.trim();
      add(label, text === "-" ? "not measured" : text + unit);
    }
    if (node.element.dataset.samples) add("Worst samples", node.element.dataset.samples);
    if (cell("rule").textContent.trim()) add("Rule", cell("rule").textContent.trim());
    if (cell("why").textContent.trim()) add("Reason", ...[...cell("why").children].map((part) => make("div", part.textContent)));
    if (node.parts.length) add("Stands for", ...node.parts.slice(0, MANY).map((part) => make("div", part)), ...(node.parts.length > MANY ? [`and ${node.parts.length - MANY} more`] : []));
    for (const [label, others] of [["Reads from", node.before], ["Read by", node.after]]) if (others.length) add(label, ...others.slice(0, MANY).map(step), ...(others.length > MANY ? [`and ${others.length - MANY} more`] : []));
    const link = make("a", "in the table");
    link.href = `#row-${node.row}`;
    const title = make("h3", node.name);
    title.id = "graph-title";
    details.replaceChildren(title, list, link);
  }

  function make(tag, text, style = "") {
    const element = document.createElement(tag);
    element.textContent = text;
    if (style) element.className = style;
    return element;
  }

  function step(node) {
    const button = make("button", node.name, "step");
    button.type = "button";
    button.addEventListener("click", () => choose(node));
    return button;
  }

  function search(forward = false) {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = words.length ? nodes.filter((node) => words.every((word) => `${node.name} ${node.op} ${node.precision} ${node.parts.join(" ")}`.toLowerCase().includes(word))) : [];
    hits = matches;
    const at = matches.indexOf(chosen);
    if (matches.length) choose(matches[forward ? (at + 1) % matches.length : Math.max(0, at)]);
    else redraw();
    found.textContent = !words.length ? "" : matches.length ? `${matches.indexOf(chosen) + 1} of ${matches.length}` : "no such node";
  }

  function under(x, y) {
    const half = [BOX.width / 2, Math.max(BOX.height / 2, 4 / view.scale)];
    const [atX, atY] = [view.x + (x - size.width / 2) / view.scale, view.y + (y - size.height / 2) / view.scale];
    return nodes.find((node) => Math.abs(node.x - atX) <= half[0] && Math.abs(node.y - atY) <= half[1]) || null;
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, y: event.offsetY, from: { ...view }, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) {
      canvas.style.cursor = under(event.offsetX, event.offsetY) ? "pointer" : "grab";
      return;
    }
    const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
    drag.moved ||= Math.abs(dx) + Math.abs(dy) > 4;
    if (!drag.moved) return;
    view = { ...view, x: drag.from.x - dx / view.scale, y: drag.from.y - dy / view.scale };
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) {
      const node = under(event.offsetX, event.offsetY);
      if (node) choose(node, { move: false });
    }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
  }, { passive: false });

  const beside = (node, by) => {
    const layer = byRank.get(node.rank);
    return layer[layer.indexOf(node) + by];
  };
  const KEYS = {
    ArrowDown: () => chosen && chosen.after[0],
    ArrowUp: () => chosen && chosen.before[0],
    ArrowLeft: () => chosen && beside(chosen, -1),
    ArrowRight: () => chosen && beside(chosen, 1),
    Home: () => nodes[0],
    End: () => nodes[nodes.length - 1],
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) {
      const node = chosen ? KEYS[event.key]() : nodes[0];
      if (node) choose(node);
    } else if (event.key === "+" || event.key === "=") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key === "0") fit();
    else if (event.key === "/") find.focus();
    else return;
    event.preventDefault();
  });

  const jump = (event) => {
    if (event.buttons !== 1) return;
    const box = overview.getBoundingClientRect();
    if (view.scale < SCALE.text) view.scale = SCALE.readable;
    const y = ((event.clientY - box.top) / box.height) * ranks;
    const near = byRank.get(Math.min(ranks - 1, Math.max(0, Math.floor(y))));
    view = { ...view, x: near ? near[0].x : view.x, y: (y - 0.5) * PITCH.y };
    redraw();
  };
  overview.addEventListener("pointerdown", jump);
  overview.addEventListener("pointermove", jump);

  find.addEventListener("input", () => search());
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    search(true);
  });
  colouring.addEventListener("input", () => {
    document.getElementById("graph-errors").hidden = colouring.value === "precision";
    document.getElementById("graph-precisions").hidden = colouring.value !== "precision";
    redraw();
  });
  document.getElementById("graph-in").addEventListener("click", () => zoom(1.4));
  document.getElementById("graph-out").addEventListener("click", () => zoom(1 / 1.4));
  document.getElementById("graph-fit").addEventListener("click", fit);
  // The table and the plot say which row to show.
  document.addEventListener("show-in-graph", (event) => {
    const node = byRow.get(event.detail.row);
    if (!node) return;
    choose(node);
    if (event.detail.scroll) {
      canvas.scrollIntoView({ block: "center" });
      canvas.focus({ preventScroll: true });
    }
  });

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => { readPalette(document.documentElement); redraw(); };
  dark.addEventListener("change", paint);
  window.addEventListener("beforeprint", () => { readPalette(document.getElementById("paper")); draw(); });
  window.addEventListener("afterprint", paint);
  new ResizeObserver(redraw).observe(canvas);

  readPalette(document.documentElement);
  draw();
  fit();
  const measured = nodes.filter((node) => node.values.own !== null).sort((a, b) => (Number.isNaN(a.values.own) ? -Infinity : a.values.own) - (Number.isNaN(b.values.own) ? -Infinity : b.values.own));
  const whole = view.scale;
  choose(measured[0] || nodes[0], { move: whole < 0.5 });
  if (whole > 1.1) { view.scale = 1.1; redraw(); }
})();

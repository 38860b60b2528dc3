// Clicked patches → the sum of their codes → the strongest features.
const MOST = 12; // features that are listed

const queries = visae.queries.map(({ name, ends, features, codes }) => ({
  name, ends,
  features: new Uint32Array(bytes(features).buffer),
  codes: new Float32Array(bytes(codes).buffer),
}));
let query = 0;
let chosen = new Set();
let looked = null; // the feature whose codes are drawn over the picture

// Sum over patches of the codes of a feature: a Map.
function sums(of, patches) {
  const found = new Map();
  for (const patch of patches) {
    for (let entry = of.ends[patch]; entry < of.ends[patch + 1]; entry++) {
      const feature = of.features[entry];
      found.set(feature, (found.get(feature) ?? 0) + of.codes[entry]);
    }
  }
  return found;
}

function codesOf(of, feature) {
  const shares = new Float32Array(ROWS * COLUMNS);
  const largest = table.largest[rowOf.get(feature)] ?? 1;
  for (let patch = 0; patch < shares.length; patch++) {
    for (let entry = of.ends[patch]; entry < of.ends[patch + 1]; entry++) {
      if (of.features[entry] === feature) shares[patch] = Math.min(1, Math.abs(of.codes[entry]) / largest);
    }
  }
  return shares;
}

function answer(feature, sum, most) {
  const row = rowOf.get(feature);
  const bar = make("i");
  bar.style.width = `${(100 * Math.abs(sum)) / most}%`;
  const where = make("button", { type: "button", textContent: "where" });
  where.setAttribute("aria-pressed", String(looked === feature));
  where.addEventListener("click", () => { looked = looked === feature ? null : feature; draw(); });
  const found = visae.examples.features[feature]?.bands.top;
  const item = make("li", {},
    make("div", { className: "title" }, make("b", {}, link(feature)), make("span", { className: "sum" }, bar), make("span", { className: "number", textContent: number(sum) }), where),
    make("p", { className: "small", textContent: row === undefined ? `it fires on no image of ${ABOUT.split}`
      : [classOf(row) && `${classOf(row)} ${percent(table.purity[row])}`, `fires on ${percent(table.frequency[row])} of patches`].filter(Boolean).join(" · ") }));
  if (found) item.append(make("div", { className: "pictures" }, ...found.slice(0, 4).map(picture)));
  else if (row !== undefined) item.append(make("p", { className: "small", textContent: "no images of it are kept here (features.named, features.query_features)" }));
  item.dataset.feature = feature;
  item.dataset.sum = sum;
  return item;
}

function draw() {
  const of = queries[query];
  const patches = [...chosen].sort((a, b) => a - b);
  [...element("choices").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === query)));
  for (const cell of cells) cell.setAttribute("aria-pressed", String(chosen.has(Number(cell.dataset.patch))));
  const canvas = element("canvas").querySelector("canvas");
  canvas.hidden = looked === null;
  if (looked !== null) paint(canvas, codesOf(of, looked));
  const found = [...sums(of, patches)].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0] - b[0]);
  element("chosen").textContent = patches.length
    ? `${patches.length} of ${ROWS * COLUMNS} patches: ${found.length} features fire` : "";
  element("answers").replaceChildren(...(patches.length
    ? found.slice(0, MOST).map(([feature, sum]) => answer(feature, sum, Math.abs(found[0][1])))
    : [make("p", { className: "note", textContent: "No patch is chosen yet." })]));
}

const cells = [];
function drawGrid() {
  const picture = make("img", { alt: "", width: 448, height: 448 });
  const grid = make("div", { className: "cells" });
  grid.style.gridTemplateColumns = `repeat(${COLUMNS}, 1fr)`;
  for (let patch = 0; patch < ROWS * COLUMNS; patch++) {
    const cell = make("button", { type: "button", tabIndex: patch ? -1 : 0 });
    cell.dataset.patch = patch;
    cell.setAttribute("aria-label", `row ${Math.floor(patch / COLUMNS)}, column ${patch % COLUMNS}`);
    cells.push(cell);
    grid.append(cell);
  }
  element("canvas").append(picture, make("canvas", { hidden: true }), grid);

  let adding = null; // while the pointer is down: whether patches are chosen or taken back
  const touch = (patch) => {
    if (adding) chosen.add(patch); else chosen.delete(patch);
    draw();
  };
  const under = (event) => document.elementFromPoint(event.clientX, event.clientY)?.dataset?.patch;
  grid.addEventListener("pointerdown", (event) => {
    const patch = under(event);
    if (patch === undefined) return;
    adding = !chosen.has(Number(patch));
    touch(Number(patch));
  });
  grid.addEventListener("pointermove", (event) => {
    const patch = under(event);
    if (adding === null || patch === undefined || chosen.has(Number(patch)) === adding) return;
    touch(Number(patch));
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { adding = null; });
  grid.addEventListener("keydown", (event) => {
    const patch = Number(event.target.dataset.patch);
    const [row, column] = [Math.floor(patch / COLUMNS), patch % COLUMNS];
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === " " || event.key === "Enter") {
      adding = !chosen.has(patch);
      touch(patch);
      adding = null;
    } else if (step) {
      const [y, x] = [row + step[0], column + step[1]];
      if (y >= 0 && x >= 0 && y < ROWS && x < COLUMNS) cells[y * COLUMNS + x].focus();
    } else return;
    event.preventDefault();
  });
}

// What a picture starts with, [score, patches]: the block of 2 × 2 patches on which a feature that
// fires rarely elsewhere has large codes.
function start(of) {
  let best = [-1, []];
  for (let row = 0; row + 1 < ROWS; row++) {
    for (let column = 0; column + 1 < COLUMNS; column++) {
      const block = [0, 1, COLUMNS, COLUMNS + 1].map((step) => row * COLUMNS + column + step);
      const scores = [...sums(of, block)].map(([feature, sum]) =>
        Math.abs(sum) * -Math.log(table.frequency[rowOf.get(feature)] ?? 1));
      const score = Math.max(0, ...scores);
      if (score > best[0]) best = [score, block];
    }
  }
  return best;
}

function take(place) {
  query = place;
  looked = null;
  chosen = new Set(starts[place][1]);
  const picture = element("canvas").querySelector("img");
  picture.src = `images/query-${place}.webp`;
  picture.alt = queries[place].name;
  draw();
}

drawGrid();
queries.forEach(({ name }, place) => {
  const button = make("button", { type: "button", title: name },
    make("img", { src: `images/query-${place}.webp`, alt: name, width: 64, height: 64 }));
  button.addEventListener("click", () => take(place));
  element("choices").append(button);
});
element("clear").addEventListener("click", () => { chosen.clear(); draw(); });
element("all").addEventListener("click", () => { chosen = new Set(cells.keys()); draw(); });
const starts = queries.map(start);
const scores = starts.map(([score]) => score);
if (queries.length) take(scores.indexOf(Math.max(...scores)));
else element("answers").append(make("p", { className: "note", textContent: "No pictures were asked for: set features.queries or features.query_images in the config." }));

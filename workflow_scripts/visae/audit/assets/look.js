// What all pages have in common: pictures with codes drawn over them, bars, numbers.
"use strict";

const CELL = 16; // pixels of a patch on the canvas that lies over a picture
const VEIL = "16, 18, 24";
const OPACITY = { silent: 0.7, faint: 0.45 }; // the same as in pictures.py
const EDGE = "#ff9a2e";

const table = visae.table?.columns; // not all pages have one
const element = (id) => document.getElementById(id);
const aspect = (node, [rows, columns]) => node.style.setProperty("--aspect", columns / rows); // patches are squares
if (ABOUT.grid) aspect(document.documentElement, ABOUT.grid);

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function bytes(text) {
  const found = atob(text);
  return Uint8Array.from(found, (letter) => letter.charCodeAt(0));
}

const number = (value, digits = 3) => (value === null || value === undefined) ? "–"
  : String(Number(Number(value).toPrecision(digits))).replace("-", "−");
const percent = (value) => (value === null || value === undefined) ? "–" : `${number(100 * value, 2)} %`;

// shares: of each patch 0 (silent) to 1 (the feature's largest code). grid: rows and columns.
function paint(canvas, shares, [rows, columns] = ABOUT.grid) {
  canvas.width = columns * CELL;
  canvas.height = rows * CELL;
  const brush = canvas.getContext("2d");
  const fires = (row, column) =>
    row >= 0 && column >= 0 && row < rows && column < columns && shares[row * columns + column] > 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const share = shares[row * columns + column];
      brush.fillStyle = `rgba(${VEIL}, ${share > 0 ? OPACITY.faint * (1 - share) : OPACITY.silent})`;
      brush.fillRect(column * CELL, row * CELL, CELL, CELL);
    }
  }
  brush.fillStyle = EDGE;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      if (!fires(row, column)) continue;
      const [x, y] = [column * CELL, row * CELL];
      if (!fires(row - 1, column)) brush.fillRect(x, y, CELL, 1.5);
      if (!fires(row + 1, column)) brush.fillRect(x, y + CELL - 1.5, CELL, 1.5);
      if (!fires(row, column - 1)) brush.fillRect(x, y, 1.5, CELL);
      if (!fires(row, column + 1)) brush.fillRect(x + CELL - 1.5, y, 1.5, CELL);
    }
  }
}

// Codes are painted when their picture comes near the window, and given back when it leaves.
const painter = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) paint(target, Array.from(bytes(target.codes), (level) => level / 255), target.grid);
    else target.width = target.height = 1;
  }
}, { rootMargin: "400px" });

// An image on which a feature fires: its id and class, the largest code there. codes: a byte per patch of the grid.
function figure(source, [id, name], code, codes, grid) {
  const canvas = make("canvas", { codes, grid, width: 1, height: 1 });
  painter.observe(canvas);
  const said = `${name || id}, code ${number(code)}`;
  const node = make("figure", { className: "picture", title: `${id}\n${said}` },
    make("img", { src: source, loading: "lazy", decoding: "async", alt: said, width: 224, height: 224 }),
    canvas,
    make("figcaption", {}, make("b", { textContent: number(code) }), ` ${name || id}`));
  aspect(node, grid);
  return node;
}

function bars(levels, title) {
  const box = make("span", { className: "bars", title });
  for (const level of levels) {
    const bar = make("i");
    bar.style.height = `${(100 * level) / 9}%`;
    box.append(bar);
  }
  return box;
}

element("codes").addEventListener("change", (event) => {
  document.body.classList.toggle("bare", !event.target.checked);
});

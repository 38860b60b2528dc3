// What all pages have in common: the grid of patches, elements, numbers.
"use strict";

const [ROWS, COLUMNS] = ABOUT.grid;
const CELL = 16; // pixels of a patch on the canvas that lies over a picture

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

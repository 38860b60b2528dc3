// Matched features of two SAEs, side by side on their images, and the table of all of them.
const SIDES = ["left", "right"];
const shownRows = visae.examples.rows;
const compared = ["images", "patches"].filter((kind) => ABOUT.kinds[kind]);

const classOf = (side, row) => visae.table.classes[table[`${side}Label`][row]] ?? "";
const sideOf = (side) => ABOUT.sides[SIDES.indexOf(side)];
const sameName = ABOUT.sides[0].label === ABOUT.sides[1].label;
const nameOf = (side) => sameName ? sideOf(side).sae : sideOf(side).label;
const fixed = (value, digits) => {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
};
const words = table.left.map((_, row) =>
  SIDES.map((side) => `${table[side][row]} ${classOf(side, row)}`).join(" ").toLowerCase());

function linked(side, row) {
  const feature = table[side][row];
  const { page } = sideOf(side);
  return page ? make("a", { href: `${page}#${feature}`, textContent: feature }) : make("span", { textContent: feature });
}

// ---- on images

// Places among a match's images that one side shows: its own, or those on which both fire most.
const places = (found, side, same) => (same ? found.together : found[side].top);

function panel(side, row, found, same) {
  const { grid, suffix } = sideOf(side);
  const about = [classOf(side, row) && `${classOf(side, row)} ${percent(table[`${side}Purity`][row])}`,
    `fires on ${percent(table[`${side}Frequency`][row])} of patches`].filter(Boolean).join(" · ");
  return make("section", { className: "side" },
    make("h3", {}, make("span", { className: "muted", textContent: `${nameOf(side)} ` }), linked(side, row),
      make("span", { className: "small", textContent: about })),
    make("div", { className: "pictures" }, ...places(found, side, same).map((place) => figure(
      `images/${found.images[place]}${suffix}.webp`, visae.examples.images[found.images[place]],
      found[side].codes[place], found[side].maps[place], grid))));
}

function strength(kind, row) {
  const value = table[kind][row];
  const bar = make("i");
  bar.style.width = `${100 * Math.max(0, value)}%`;
  return make("span", { className: table[`${kind}Above`][row] ? "strength" : "strength weak",
    title: table[`${kind}Above`][row] ? `a match over ${kind}` : `each has another best over ${kind}, or chance reaches as much` },
    `r = ${fixed(value, 2)} over ${kind} `, make("span", { className: "sum" }, bar));
}

function match(row, same) {
  const found = shownRows[row];
  const item = make("li", { id: `match-${row}` },
    make("div", { className: "title" }, ...compared.map((kind) => strength(kind, row))),
    make("div", { className: "sides" }, ...SIDES.map((side) => panel(side, row, found, same))));
  item.dataset.row = row;
  return item;
}

const ORDERS = {
  "strongest over images": (row) => table.images[row],
  ...(ABOUT.kinds.patches ? { "strongest over patches": (row) => table.patches[row] } : {}),
  "weakest over images": (row) => -table.images[row],
  "most frequent": (row) => Math.min(table.leftFrequency[row], table.rightFrequency[row]),
  "rarest": (row) => -Math.min(table.leftFrequency[row], table.rightFrequency[row]),
};

function said() {
  return element("search").value.trim().toLowerCase();
}

function drawMatched() {
  const key = ORDERS[element("order").value];
  const rows = Object.keys(shownRows).map(Number).filter((row) => words[row].includes(said()));
  rows.sort((a, b) => key(b) - key(a) || a - b);
  element("matched").replaceChildren(...(rows.length ? rows.map((row) => match(row, element("same").checked))
    : [make("p", { className: "note", textContent: table.left.length
      ? "No match with images is searched for here; the table below has all of them."
      : "No feature of one has a match in the other that is stronger than chance." })]));
}

// ---- all of them

const COLUMNS_SHOWN = [
  ...SIDES.map((side) => ({ key: side, name: nameOf(side), up: true, side })),
  ...compared.map((kind) => ({ key: kind, name: `r, ${kind}`, kind })),
  ...(compared.length > 1 ? [{ key: "by", name: "Match over", text: true }] : []),
  ...SIDES.map((side) => ({ key: `${side}Frequency`, name: `Fires, ${side}`, draw: percent })),
  ...(ABOUT.labelled ? SIDES.map((side) => ({ key: `${side}Label`, name: `Class, ${side}`, text: true, side })) : []),
];

const foundBy = (row) => compared.every((kind) => table[`${kind}Above`][row]) ? "both"
  : compared.find((kind) => table[`${kind}Above`][row]);

function value(column, row) {
  if (column.key === "by") return foundBy(row);
  return column.text ? classOf(column.side, row) || null : table[column.key][row];
}

function line(row) {
  const found = make("tr", { className: shownRows[row] ? "shown" : "" });
  found.dataset.row = row;
  for (const column of COLUMNS_SHOWN) {
    const cell = make(column.key === "left" ? "th" : "td", { className: column.text ? "words" : "" });
    const own = value(column, row);
    if (column.side && !column.text) cell.append(linked(column.side, row));
    else cell.textContent = column.kind ? fixed(own, 3) : column.draw ? column.draw(own) : own ?? "–";
    if (column.text) cell.title = own ?? "";
    found.append(cell);
  }
  return found;
}

const all = sortedTable(element("table"), COLUMNS_SHOWN, table.left.length, {
  value, line, wanted: (order) => order.filter((row) => words[row].includes(said())), drawn: () => {},
});
element("table").tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest("tr")?.dataset.row;
  if (row && !event.target.closest("a")) element(`match-${row}`)?.scrollIntoView({ block: "center" });
});
for (const name of Object.keys(ORDERS)) element("order").append(make("option", { textContent: name }));
element("order").addEventListener("change", drawMatched);
element("same").addEventListener("change", drawMatched);
element("search").addEventListener("input", () => { drawMatched(); all.draw(); });
drawMatched();
all.draw();

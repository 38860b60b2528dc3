// Sorting, filtering, opening: all the page does. It works on the page's own elements only.
"use strict";

const MOST_ROWS = 500; // drawn at once of a long table

const exact = (cell) => {
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = cell.textContent.trim().replace(/−/g, "-");
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
};
const isGap = (value) => value === "" || value === "–";

// Gaps come last in both directions, numbers before words.
function compare(a, b, direction) {
  if (isGap(a) || isGap(b)) return isGap(a) - isGap(b);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  return direction * order;
}

function markSorted(header) {
  const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  return direction === "ascending" ? 1 : -1;
}

function sortRows(table, header) {
  const direction = markSorted(header);
  const rows = [...table.tBodies[0].rows].map((row) => [exact(row.cells[header.cellIndex]), row]);
  rows.sort((a, b) => compare(a[0], b[0], direction));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("button")?.parentElement;
    if (header) (table.sortBy ?? ((chosen) => sortRows(table, chosen)))(header);
  });
}

// A filter shows the rows that hold its text and, where it has buttons, their value.
for (const filter of document.querySelectorAll(".filter")) {
  const table = document.getElementById(filter.dataset.filter);
  const input = filter.querySelector("input");
  const buttons = [...filter.querySelectorAll("button")];
  const apply = () => {
    const text = input.value.trim().toLowerCase();
    if (table.showMatches) return table.showMatches(text);
    const value = buttons.find((button) => button.getAttribute("aria-pressed") === "true")?.dataset.value;
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      row.hidden = Boolean((value && row.dataset.value !== value) || !row.textContent.toLowerCase().includes(text));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    filter.querySelector("output").textContent = shown < rows.length ? `${shown} of ${rows.length}` : "";
  };
  input.addEventListener("input", apply);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      apply();
    });
  }
}

// Fields of a CSV text, quotes included.
function parseCsv(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/g)) {
    rows.at(-1).push(quoted !== undefined ? quoted.replace(/""/g, '"') : plain);
    if (end === "\n") rows.push([]);
    if (end === "") break;
  }
  return rows.filter((row) => row.length > 1 || row[0] !== "");
}

// Long tables are text until they are opened.
function drawLong(details) {
  const table = details.querySelector("table");
  const output = details.querySelector("output");
  const [keys, ...rows] = parseCsv(details.querySelector(".csv").textContent);
  const reason = keys.indexOf("reason");
  const typed = rows.map((row) => row.map((text) => (text !== "" && Number.isFinite(Number(text)) ? Number(text) : text)));
  const order = rows.map((_, index) => index);
  let wanted = "";
  const draw = () => {
    const matching = order.filter((index) => rows[index].join(" ").toLowerCase().includes(wanted));
    const lines = matching.slice(0, MOST_ROWS).map((index) => {
      const line = document.createElement("tr");
      rows[index].forEach((text, column) => {
        const cell = line.insertCell();
        const value = typed[index][column];
        if (typeof value === "number") {
          cell.className = "number";
          cell.textContent = (Number.isInteger(value) ? text : String(Number(value.toPrecision(4)))).replace("-", "−");
          cell.title = text;
        } else if (text === "" && column !== reason) {
          cell.textContent = "–";
          cell.title = rows[index][reason] || "the table's file has no value here";
        } else {
          cell.textContent = cell.title = text;
        }
      });
      return line;
    });
    table.tBodies[0].replaceChildren(...lines);
    output.textContent = matching.length > lines.length || matching.length < rows.length
      ? `${lines.length} of ${matching.length} that match` : "";
  };
  table.showMatches = (text) => { wanted = text; draw(); };
  table.sortBy = (header) => {
    const direction = markSorted(header);
    const column = header.cellIndex;
    order.sort((a, b) => compare(typed[a][column], typed[b][column], direction));
    draw();
  };
  draw();
}
for (const details of document.querySelectorAll("details.long")) {
  details.addEventListener("toggle", () => drawLong(details), { once: true });
}

for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const large = button.closest("figure").classList.toggle("large");
    button.setAttribute("aria-pressed", String(large));
    button.textContent = large ? "Reduce" : "Enlarge";
  });
}

// A link to something closed opens it.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = target?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (target?.matches("details")) target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

// The section in view is marked in the bar.
const links = new Map([...document.querySelectorAll(".bar a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -75% 0px" });
for (const section of document.querySelectorAll("main > section")) seen.observe(section);

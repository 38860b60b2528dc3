// A table of many rows, sorted by a click on a heading; a hundred of them are drawn at once.
const STEP = 100;

// columns: { key, name, text: sorted as words, fixed: not sorted by, up: smallest first }. The
// functions: value(column, row), line(row): a tr, wanted(order): rows that are drawn, drawn().
function sortedTable(node, columns, rows, { value, line, wanted, drawn }) {
  const body = node.tBodies[0];
  const order = Array.from({ length: rows }, (_, row) => row);
  const shown = { found: order, draw };
  let end = 0;

  function drawMore() {
    for (const row of shown.found.slice(end, end + STEP)) body.append(line(row));
    end = Math.min(shown.found.length, end + STEP);
    element("more").hidden = end >= shown.found.length;
  }

  function draw() {
    shown.found = wanted(order);
    body.replaceChildren();
    end = 0;
    drawMore();
    element("count").textContent = shown.found.length < order.length ? `${shown.found.length} of ${order.length}` : `${order.length}`;
    drawn(shown.found);
  }

  // Gaps come last in both directions.
  function sortBy(column, header) {
    const down = header.getAttribute("aria-sort") === "ascending" || (!header.hasAttribute("aria-sort") && !column.up && !column.text);
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    order.sort((a, b) => {
      const [one, two] = [value(column, a), value(column, b)];
      if (one === null || two === null) return (one === null) - (two === null) || a - b;
      return sign * (column.text ? one.localeCompare(two, "en", { numeric: true }) : one - two) || a - b;
    });
    draw();
  }

  const heads = node.tHead.insertRow();
  for (const column of columns) {
    const header = make("th", { scope: "col", className: column.text ? "words" : "" });
    if (column.fixed) header.textContent = column.name;
    else {
      const button = make("button", { type: "button", textContent: column.name });
      button.addEventListener("click", () => sortBy(column, header));
      header.append(button);
    }
    heads.append(header);
  }
  element("more").addEventListener("click", drawMore);
  return shown;
}

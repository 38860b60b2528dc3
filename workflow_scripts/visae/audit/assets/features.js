// The table of all live features, the one that is chosen, and those with images.
const STEP = 100; // rows that are drawn at once

const shownFeatures = visae.examples.features;
const COLUMNS_SHOWN = [
  { key: "feature", name: "Feature" },
  { key: "frequency", name: "Frequency", draw: (value) => percent(value) },
  { key: "images", name: "Images" },
  { key: "mean", name: "Mean", draw: number },
  { key: "largest", name: "Largest", draw: number },
  { key: "histogram", name: "Codes", fixed: true },
  ...ABOUT.metrics.map((key) => ({ key, name: key, draw: number })),
  ...(ABOUT.unlabelled ? [] : [
    { key: "purity", name: "Pure", draw: percent },
    { key: "label", name: "Class", text: true },
  ]),
];
const BLANK = "–";

const element = (id) => document.getElementById(id);
const body = element("table").tBodies[0];
let order = table.feature.map((_, row) => row);
let matching = order;
let drawn = 0;

const text = table.feature.map((feature, row) => `${feature} ${classOf(row)}`.toLowerCase());

function drawMore() {
  for (const row of matching.slice(drawn, drawn + STEP)) body.append(line(row));
  drawn = Math.min(matching.length, drawn + STEP);
  element("more").hidden = drawn >= matching.length;
}

function line(row) {
  const feature = table.feature[row];
  const found = make("tr", { tabIndex: 0 });
  found.dataset.feature = feature;
  if (shownFeatures[feature]) found.className = "shown";
  for (const { key, draw, text: words } of COLUMNS_SHOWN) {
    const value = table[key][row];
    const cell = make(key === "feature" ? "th" : "td", { className: words ? "words" : "" });
    if (key === "histogram") cell.append(bars(value, "images by code, from 0 to the largest"));
    else cell.textContent = words ? classOf(row) || BLANK : draw ? draw(value) : value;
    if (words) cell.title = classOf(row);
    found.append(cell);
  }
  return found;
}

function draw() {
  const wanted = element("search").value.trim().toLowerCase();
  const only = element("only").checked;
  const exact = /^\d+$/.test(wanted) && rowOf.has(Number(wanted)) ? rowOf.get(Number(wanted)) : null;
  matching = order.filter((row) => text[row].includes(wanted) && (!only || shownFeatures[table.feature[row]]));
  if (exact !== null && matching.includes(exact)) matching = [exact, ...matching.filter((row) => row !== exact)];
  body.replaceChildren();
  drawn = 0;
  drawMore();
  mark();
  element("count").textContent = matching.length < order.length ? `${matching.length} of ${order.length}` : `${order.length}`;
}

// Gaps come last in both directions.
function sortBy(column, header) {
  const down = header.getAttribute("aria-sort") === "ascending" || (!header.hasAttribute("aria-sort") && column.key !== "feature" && !column.text);
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = column.text ? (row) => classOf(row) || null : (row) => table[column.key][row];
  const sign = down ? -1 : 1;
  order.sort((a, b) => {
    const [one, two] = [value(a), value(b)];
    if (one === null || two === null) return (one === null) - (two === null) || a - b;
    return sign * (column.text ? one.localeCompare(two, "en", { numeric: true }) : one - two) || a - b;
  });
  draw();
}

function drawHead() {
  const row = element("table").tHead.insertRow();
  for (const column of COLUMNS_SHOWN) {
    const header = make("th", { scope: "col", className: column.text ? "words" : "" });
    if (column.fixed) header.textContent = column.name;
    else {
      const button = make("button", { type: "button", textContent: column.name });
      button.addEventListener("click", () => sortBy(column, header));
      header.append(button);
    }
    row.append(header);
  }
}

function facts(row) {
  const pairs = [
    ["fires on", `${percent(table.frequency[row])} of patches, ${table.images[row]} images`],
    ["codes", `mean ${number(table.mean[row])}, largest ${number(table.largest[row])}`],
    ...ABOUT.metrics.map((key) => [key, number(table[key][row])]),
    ...(classOf(row) ? [["class", `${classOf(row)}, ${percent(table.purity[row])} of its images`]] : []),
  ];
  return make("dl", { className: "facts" },
    ...pairs.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

function alike(title, pairs) {
  const items = pairs.map(([feature, value]) => {
    const own = shownFeatures[feature]?.bands.top?.[0];
    return make("li", {}, own ? make("img", { src: `images/${own[0]}.webp`, loading: "lazy", alt: "", width: 48, height: 48 }) : make("span", { className: "blank" }),
      make("span", {}, link(feature), make("span", { className: "muted", textContent: number(value, 2) })));
  });
  return make("div", { className: "alike" }, make("h4", { textContent: title }), make("ul", {}, ...items));
}

const BANDS = { top: "Largest codes", middle: "Middle: around the median of its images", low: "Low: around nine tenths of the way down" };

function show(feature) {
  const row = rowOf.get(feature);
  const box = element("feature");
  if (row === undefined) {
    box.replaceChildren(make("p", { className: "note", textContent: feature < ABOUT.features
      ? `Feature ${feature} is dead: it fires on no image of ${ABOUT.split}.`
      : `There is no feature ${feature}: they are numbered 0 to ${ABOUT.features - 1}.` }));
    return;
  }
  const found = shownFeatures[feature];
  const parts = [make("h2", {}, `Feature ${feature} `, bars(table.histogram[row], "its images by code")), facts(row)];
  if (!found) {
    parts.push(make("p", { className: "note" },
      "No images of it are kept here. To see some, add its number to ",
      make("code", { textContent: "features.named" }), " in the config and ask for ",
      make("code", { textContent: "features" }), " again."));
  } else {
    parts.push(make("p", { className: "small", textContent: `Shown: ${found.why.join("; ")}.` }));
    for (const [band, title] of Object.entries(BANDS)) {
      if (!found.bands[band]) continue;
      parts.push(make("h3", { textContent: title }),
        make("div", { className: "pictures" }, ...found.bands[band].map(picture)));
    }
    parts.push(alike("Most like it: decoder direction (cosine)", found.decoder),
      alike("Fires on the same images (Jaccard)", found.together));
  }
  box.replaceChildren(...parts);
  mark();
}

function mark() {
  const chosen = location.hash.slice(1);
  for (const row of body.rows) row.classList.toggle("chosen", row.dataset.feature === chosen);
}

function card(feature) {
  const row = rowOf.get(feature);
  const found = shownFeatures[feature];
  return make("a", { className: "card", href: `#${feature}` },
    make("span", { className: "title" }, make("b", { textContent: feature }),
      make("span", { className: "muted", textContent: classOf(row) ? `${classOf(row)} ${percent(table.purity[row])}` : percent(table.frequency[row]) })),
    make("span", { className: "pictures" }, ...found.bands.top.slice(0, 4).map(picture)),
    make("span", { className: "small", textContent: found.why[0] }));
}

function drawGallery() {
  const wanted = element("group").value;
  const chosen = Object.keys(shownFeatures).map(Number).filter((feature) => {
    const { why, bands } = shownFeatures[feature];
    return wanted === "" ? bands.middle : why.includes(wanted);
  });
  const group = (feature) => groups.indexOf(shownFeatures[feature].why[0]);
  chosen.sort((a, b) => group(a) - group(b) || a - b);
  element("gallery").replaceChildren(...chosen.map(card));
}

const groups = [...new Set(Object.values(shownFeatures).flatMap(({ why }) => why))].sort();
function drawGroups() {
  element("group").append(make("option", { value: "", textContent: "by rule or by name" }),
    ...groups.map((why) => make("option", { value: why, textContent: why })));
  element("group").addEventListener("change", drawGallery);
}

// How many features fire how often: powers of ten, four bars each.
function drawDensity() {
  if (!table.feature.length) return;
  const logs = table.frequency.map((value) => Math.floor(4 * Math.log10(value)));
  const least = Math.min(...logs);
  const counts = Array(-least + 1).fill(0);
  for (const log of logs) counts[log - least] += 1;
  const most = Math.max(...counts);
  element("density").append(
    make("div", { className: "density-bars" }, ...counts.map((count, place) => {
      const bar = make("i", { title: `${count} features fire on ${percent(10 ** ((place + least) / 4))} to ${percent(10 ** ((place + least + 1) / 4))} of patches` });
      bar.style.height = `${(100 * count) / most}%`;
      return bar;
    })),
    make("p", { className: "small ends" }, make("span", { textContent: percent(10 ** (least / 4)) }), make("span", { textContent: "share of patches (log)" }), make("span", { textContent: "100 %" })));
}

body.addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row) location.hash = row.dataset.feature;
});
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter") location.hash = event.target.closest("tr").dataset.feature;
});
element("search").addEventListener("input", draw);
element("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && matching.length) location.hash = table.feature[matching[0]];
});
element("only").addEventListener("change", draw);
element("more").addEventListener("click", drawMore);
addEventListener("hashchange", () => {
  show(Number(location.hash.slice(1)));
  const box = element("feature").getBoundingClientRect();
  if (box.top > innerHeight - 120 || box.bottom < 120) element("feature").scrollIntoView();
});

drawHead();
draw();
drawDensity();
drawGroups();
drawGallery();
const first = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : ABOUT.best ?? table.feature[0];
if (first !== undefined) show(first);

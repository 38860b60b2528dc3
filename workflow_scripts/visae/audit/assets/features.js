// The table of all live features, the one that is chosen, and those with images.
const shownFeatures = visae.examples.features;
const COLUMNS_SHOWN = [
  { key: "feature", name: "Feature", up: true },
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

const text = table.feature.map((feature, row) => `${feature} ${classOf(row)}`.toLowerCase());

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

const value = (column, row) => column.text ? classOf(row) || null : table[column.key][row];

// The rows that are searched for; the feature of exactly that number is the first.
function wanted(order) {
  const said = element("search").value.trim().toLowerCase();
  const only = element("only").checked;
  const exact = /^\d+$/.test(said) ? rowOf.get(Number(said)) : undefined;
  const found = order.filter((row) => text[row].includes(said) && (!only || shownFeatures[table.feature[row]]));
  return found.includes(exact) ? [exact, ...found.filter((row) => row !== exact)] : found;
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
  for (const row of element("table").tBodies[0].rows) row.classList.toggle("chosen", row.dataset.feature === chosen);
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

const all = sortedTable(element("table"), COLUMNS_SHOWN, table.feature.length, { value, line, wanted, drawn: mark });
const body = element("table").tBodies[0];
body.addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row) location.hash = row.dataset.feature;
});
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter") location.hash = event.target.closest("tr").dataset.feature;
});
element("search").addEventListener("input", all.draw);
element("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && all.found.length) location.hash = table.feature[all.found[0]];
});
element("only").addEventListener("change", all.draw);
addEventListener("hashchange", () => {
  show(Number(location.hash.slice(1)));
  const box = element("feature").getBoundingClientRect();
  if (box.top > innerHeight - 120 || box.bottom < 120) element("feature").scrollIntoView();
});

all.draw();
drawDensity();
drawGroups();
drawGallery();
const first = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : ABOUT.best ?? table.feature[0];
if (first !== undefined) show(first);

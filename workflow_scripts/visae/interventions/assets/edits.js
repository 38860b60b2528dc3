// Precomputed answers over strengths: pictures, and the shares of units that changed.
const [ROWS, COLUMNS] = ABOUT.grid;
const NONE = 255; // a patch of no class

const colour = (label) => ABOUT.colours[label % ABOUT.colours.length];
const share = (value) => (value === null || value === undefined) ? "–" : `${Math.round(100 * value)} %`;
let section = visae.edits[0];
let edit = "feature";

const strengthOf = (step) => {
  const strength = section.strengths[step];
  const what = strength === 0 ? "no edit" : strength === 1 ? "taken out" : strength > 1 ? "turned round"
    : strength > 0 ? "weaker" : "stronger";
  return `${number(strength)} · ${what}`;
};

// Classes of patches; what differs from before has an edge.
function paintClasses(canvas, labels, before) {
  canvas.width = COLUMNS * CELL;
  canvas.height = ROWS * CELL;
  const brush = canvas.getContext("2d");
  for (let patch = 0; patch < labels.length; patch++) {
    if (labels[patch] === NONE) continue;
    const [x, y] = [CELL * (patch % COLUMNS), CELL * Math.floor(patch / COLUMNS)];
    brush.globalAlpha = ABOUT.veil;
    brush.fillStyle = colour(labels[patch]);
    brush.fillRect(x, y, CELL, CELL);
    if (before && before[patch] !== labels[patch]) {
      brush.globalAlpha = 1;
      brush.strokeStyle = "#ffffff";
      brush.lineWidth = 1.5;
      brush.strokeRect(x + 1, y + 1, CELL - 2, CELL - 2);
    }
  }
  brush.globalAlpha = 1;
}

function pictured(picture, caption, canvas) {
  return make("figure", { className: "picture", title: picture.name },
    make("img", { src: `images/${picture.image}.webp`, loading: "lazy", decoding: "async", alt: picture.name, width: 224, height: 224 }),
    canvas, make("figcaption", { textContent: caption }));
}

// [elements, function of the step that draws them]
function segmented(picture) {
  const [before, after] = [make("canvas"), make("canvas")];
  const plain = bytes(picture.answers.feature[section.strengths.indexOf(0)]);
  paintClasses(before, plain, null);
  const draw = (step) => paintClasses(after, bytes((picture.answers[edit] ?? picture.answers.feature)[step]), plain);
  return [[pictured(picture, "before", before), pictured(picture, "after", after)], draw];
}

function classified(picture, own) {
  const box = make("div", { className: "answers-of" });
  const plain = picture.answers.feature[section.strengths.indexOf(0)];
  const draw = (step) => {
    const now = (picture.answers[edit] ?? picture.answers.feature)[step];
    const order = now.map((_, label) => label)
      .sort((a, b) => (b === own) - (a === own) || Math.max(now[b], plain[b]) - Math.max(now[a], plain[a]) || a - b);
    box.replaceChildren(...order.slice(0, 4).map((label) => {
      const [bar, mark] = [make("i"), make("u")];
      bar.style.width = `${100 * now[label]}%`;
      mark.style.left = `calc(${100 * plain[label]}% - 1px)`;
      return make("div", { className: `answer${label === own ? " own" : ""}` },
        make("b", { textContent: section.classes[label], title: section.classes[label] }),
        make("span", { className: "number", textContent: share(now[label]) }),
        make("span", { className: "track", title: `before: ${share(plain[label])}` }, bar, mark));
    }));
  };
  return [[pictured(picture, section.classes[picture.truth]), box], draw];
}

function shares(feature, step) {
  const units = section.kind === "segmentation" ? "patches" : "images";
  const track = (value) => {
    const bar = make("i");
    bar.style.width = `${100 * (value ?? 0)}%`;
    return make("td", {}, make("span", { className: "track" }, bar), share(value));
  };
  return [
    make("thead", {}, make("tr", {}, make("th", { textContent: "changed" }),
      make("th", { textContent: `${units} of the class` }), make("th", { textContent: `other ${units}` }))),
    make("tbody", {}, ...Object.entries(feature.shares).map(([kind, steps]) =>
      make("tr", { className: kind === edit ? "chosen" : "" }, make("th", { className: "words", textContent: ABOUT.edits[kind] }),
        ...steps[step].map(track)))),
  ];
}

const drawn = []; // functions of the step, one for each feature

function card(feature) {
  const swatch = make("span", { className: "swatch" });
  swatch.style.background = colour(feature.class);
  const name = ABOUT.pages ? make("a", { href: `${ABOUT.pages}/index.html#${feature.feature}`, textContent: `feature ${feature.feature}` })
    : `feature ${feature.feature}`;
  const slider = make("input", { type: "range", min: 0, max: section.strengths.length - 1, step: 1 });
  slider.setAttribute("aria-label", `strength of the edit of feature ${feature.feature}`);
  const said = make("output");
  const table = make("table", { className: "shares" });
  const pictures = feature.pictures.map((picture) => section.kind === "segmentation"
    ? segmented(picture) : classified(picture, feature.class));
  const draw = (step) => {
    slider.value = step;
    said.textContent = strengthOf(step);
    table.replaceChildren(...shares(feature, step));
    for (const [, paint] of pictures) paint(step);
  };
  slider.addEventListener("input", () => draw(Number(slider.value)));
  drawn.push({ draw, step: () => Number(slider.value) });
  return make("article", { className: "edited" },
    make("h2", {}, swatch, section.classes[feature.class]),
    make("p", { className: "small" }, name, `${feature.how === "named" ? ", named in the config, is of this class" : " tells it best"}: r = ${number(feature.correlation, 2)} on training ${section.kind === "segmentation" ? "patches" : "images"}`),
    make("label", { className: "slide" }, "Strength", slider, said),
    ...pictures.map(([parts]) => make("div", { className: "pair" }, ...parts)),
    table);
}

function take(place) {
  const before = section.strengths[Number(element("all").value)];
  section = visae.edits[place];
  const steps = section.strengths.length;
  const kept = section.strengths.indexOf(before);
  element("all").max = steps - 1;
  element("all").value = kept < 0 ? steps - 1 : kept;
  const units = section.kind === "segmentation" ? "labelled test patches" : "test images";
  element("about").textContent = `Without an edit the head has ${share(section.accuracy)} of the ${units} right. `
    + (section.kind === "segmentation" ? "A white edge: the patch's class has changed." : "A tick in a bar: the probability before.")
    + " Controls have the size of the feature's edit, and are means over seeds; pictures show the first.";
  drawn.length = 0;
  const legend = make("p", { className: "legend" }, ...(section.kind === "segmentation"
    ? section.classes.map((name, label) => {
      const swatch = make("i", { className: "swatch" });
      swatch.style.background = colour(label);
      return make("span", {}, swatch, name);
    }) : []));
  element("edits").replaceChildren(...section.features.map(card));
  document.querySelector(".legend")?.remove();
  element("about").after(legend);
  drawAll();
}

function drawAll() {
  const step = Number(element("all").value);
  element("said").textContent = strengthOf(step);
  for (const { draw } of drawn) draw(step);
}

visae.edits.forEach(({ dataset, head }, place) =>
  element("section").append(make("option", { value: place, textContent: `${dataset}: ${head}` })));
for (const [kind, name] of Object.entries(ABOUT.edits)) element("edit").append(make("option", { value: kind, textContent: name }));
element("section").addEventListener("change", () => take(Number(element("section").value)));
element("edit").addEventListener("change", () => {
  edit = element("edit").value;
  for (const { draw, step } of drawn) draw(step());
});
element("all").addEventListener("input", drawAll);
element("all").value = 0;
if (visae.edits.length) {
  element("all").max = section.strengths.length - 1;
  element("all").value = section.strengths.length - 1;
  take(0);
}

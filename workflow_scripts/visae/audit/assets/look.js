// What the pages of an SAE's features have in common: pictures with codes drawn over them, bars.
const VEIL = "16, 18, 24";
const OPACITY = { silent: 0.7, faint: 0.45 }; // the same as in pictures.py
const EDGE = "#ff9a2e";

const table = visae.table.columns;
const rowOf = new Map(table.feature.map((feature, row) => [feature, row]));

const classOf = (row) => visae.table.classes[table.label[row]] ?? "";

// shares: of each patch 0 (silent) to 1 (the feature's largest code).
function paint(canvas, shares) {
  canvas.width = COLUMNS * CELL;
  canvas.height = ROWS * CELL;
  const brush = canvas.getContext("2d");
  const fires = (row, column) =>
    row >= 0 && column >= 0 && row < ROWS && column < COLUMNS && shares[row * COLUMNS + column] > 0;
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      const share = shares[row * COLUMNS + column];
      brush.fillStyle = `rgba(${VEIL}, ${share > 0 ? OPACITY.faint * (1 - share) : OPACITY.silent})`;
      brush.fillRect(column * CELL, row * CELL, CELL, CELL);
    }
  }
  brush.fillStyle = EDGE;
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
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
    if (isIntersecting) paint(target, Array.from(bytes(target.codes), (level) => level / 255));
    else target.width = target.height = 1;
  }
}, { rootMargin: "400px" });

// One image on which a feature fires: [number, its largest code there, codes].
function picture([image, code, codes]) {
  const [id, name] = visae.examples.images[image];
  const canvas = make("canvas", { codes, width: 1, height: 1 });
  painter.observe(canvas);
  const said = `${name || id}, code ${number(code)}`;
  return make("figure", { className: "picture", title: `${id}\n${said}` },
    make("img", { src: `images/${image}.webp`, loading: "lazy", decoding: "async", alt: said, width: 224, height: 224 }),
    canvas,
    make("figcaption", {}, make("b", { textContent: number(code) }), ` ${name || id}`));
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

const link = (feature) => make("a", { href: `index.html#${feature}`, textContent: feature });

document.getElementById("codes").addEventListener("change", (event) => {
  document.body.classList.toggle("bare", !event.target.checked);
});

// What the pages of one SAE have in common.
const [ROWS, COLUMNS] = ABOUT.grid;

const rowOf = new Map(table.feature.map((feature, row) => [feature, row]));
const classOf = (row) => visae.table.classes[table.label[row]] ?? "";
const link = (feature) => make("a", { href: `index.html#${feature}`, textContent: feature });

// One image on which a feature fires: [number, its largest code there, codes].
const picture = ([image, code, codes]) =>
  figure(`images/${image}.webp`, visae.examples.images[image], code, codes, ABOUT.grid);

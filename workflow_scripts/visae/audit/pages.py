"""Static pages of one SAE: its features, and from patches of pictures to features.

What they show lies beside them: data in scripts, since a page that is opened as a file may not
fetch, and pictures as files, which the browser loads when they come into view. The files are
described in docs/formats.md.
"""

import csv
import io
from pathlib import Path

import numpy as np

from visae.audit.cards import FEATURES, write_card
from visae.audit.choice import BANDS
from visae.audit.feature_table import BINS
from visae.audit.page_data import (
    base64_of,
    bytes_of,
    four_digits,
    read_script,
    rounded,
    write_script,
)
from visae.audit.pictures import as_seen, as_webp, strip, webp_of
from visae.backbones.preprocessing import Preprocessing
from visae.base.files import write_text
from visae.base.templates import environment
from visae.images.decoding import load_image

HERE = Path(__file__).parent

UNLABELLED = "the images have no classes"
_CARD = 6  # images on the card


def write_pages(paths, about, findings, cache, image_paths, class_names, inputs=()):
    """Write the pages of one SAE.

    paths: name (of `visae.base.paths.FEATURE_FILES`, and `images`, a folder) → where to write.
    about: what the pages say of the SAE: `sae`, `backbone`, `label`, `layer`, `split`, `study`,
    `report` (seen from the page) and `signed` (whether codes may be negative). findings: the SAE's
    `Findings`. cache: the open cache of its split. image_paths: image id → file. class_names: by
    label. inputs: the files that they are made of.
    """
    class_names = dict(enumerate(class_names))
    table, live = findings.table, np.flatnonzero(findings.table.live)
    about = about | {
        "best": _best(findings),
        "features": len(table.live),
        "live": len(live),
        "examples": len(findings.examples),
        "images": cache.images,
        "patches": cache.info.patches,
        "grid": list(cache.info.grid),
        "metrics": list(findings.values),
        "bins": BINS,
        "unlabelled": None if (table.label >= 0).any() else UNLABELLED,
    }
    transform = Preprocessing(**cache.info.preprocessing)
    bands = [band for e in findings.examples.values() for band in e.bands.values()]
    shown = sorted({item.image for band in bands for item in band})
    labels = {number: int(cache.labels[number]) for number in shown}
    files = {number: image_paths[cache.image_ids[number]] for number in shown}
    _write_pictures(Path(paths["images"]), files, findings.queries, transform)
    write_text(paths["features.csv"], _csv(findings, live, class_names))
    write_script(paths["table.js"], "table", _table(findings, live, class_names))
    write_script(
        paths["examples.js"],
        "examples",
        {
            "features": {f: _examples(e, table.largest[f]) for f, e in findings.examples.items()},
            "images": {
                number: [cache.image_ids[number], class_names.get(label, "")]
                for number, label in labels.items()
            },
        },
    )
    write_script(paths["queries.js"], "queries", [_query(query) for query in findings.queries])
    for page in ("index.html", "patches.html"):
        template = environment(HERE / "templates", HERE / "assets", html=True).get_template(
            f"{page}.jinja"
        )
        write_text(paths[page], template.render(about=about))
    _write_card(paths, about, findings, cache, image_paths, transform, inputs)


def _table(findings, live, class_names):
    """The columns of the table, a value per live feature; None where there is none."""
    table = findings.table
    columns = {
        "feature": live.tolist(),
        "frequency": rounded(table.frequency[live]),
        "images": table.images[live].tolist(),
        "mean": rounded(table.mean[live]),
        "largest": rounded(table.largest[live]),
        **{name: rounded(values[live]) for name, values in findings.values.items()},
        "label": [label if label >= 0 else None for label in table.label[live].tolist()],
        "purity": rounded(table.purity[live]),
    }
    # Bars as digits, of 0 (no image) to 9 (the highest bar of the feature).
    histogram = table.histogram[live]
    bars = np.ceil(9 * histogram / histogram.max(axis=1, keepdims=True)).astype(int)
    columns["histogram"] = ["".join(map(str, row)) for row in bars.tolist()]
    used = sorted(set(table.label[live].tolist()) - {-1})
    return {"columns": columns, "classes": {label: class_names[label] for label in used}}


def _csv(findings, live, class_names):
    table, text = findings.table, io.StringIO()
    columns = {
        "feature": live.tolist(),
        "frequency": map(_number, table.frequency[live]),
        "images": table.images[live].tolist(),
        "mean_code": map(_number, table.mean[live]),
        "largest_code": map(_number, table.largest[live]),
        **{name: map(_number, values[live]) for name, values in findings.values.items()},
        "class": [class_names.get(label, "") for label in table.label[live].tolist()],
        "purity": map(_number, table.purity[live]),
        "histogram": [" ".join(map(str, row)) for row in table.histogram[live].tolist()],
    }
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _examples(examples, largest):
    """One feature as the page reads it: codes as bytes, 255 for its largest code on the split."""
    return {
        "why": examples.why,
        "bands": {
            band: [
                [
                    item.image,
                    four_digits(float(np.abs(item.map).max())),
                    bytes_of(item.map, largest),
                ]
                for item in examples.bands[band]
            ]
            for band in BANDS
            if examples.bands.get(band)
        },
        "decoder": [[other, round(value, 3)] for other, value in examples.by_decoder],
        "together": [[other, round(value, 3)] for other, value in examples.by_images],
    }


def _query(query):
    """A picture's sparse codes: patch p has the entries ends[p] to ends[p + 1]."""
    return {
        "name": query.name,
        "ends": query.codes.indptr.tolist(),
        "features": base64_of(query.codes.indices.astype("<u4")),
        "codes": base64_of(query.codes.data.astype("<f4")),
    }


def _write_card(paths, about, findings, cache, image_paths, transform, inputs):
    """What the report shows: a feature's top images, and what is to be said of them."""
    best = about["best"]
    card = {key: about[key] for key in ("features", "live", "examples", "images")}
    pixels = np.zeros((1, 1, 3), np.uint8)
    if best is not None:
        top = findings.examples[best].bands["top"][:_CARD]
        shares = [np.abs(item.map) / findings.table.largest[best] for item in top]
        images = [load_image(image_paths[cache.image_ids[item.image]]) for item in top]
        pixels = strip(images, shares, transform)
    card |= {"feature": best, "queries": len(findings.queries)}
    write_card(paths["card.json"], FEATURES, card, pixels, inputs)


def _best(findings):
    """The feature that is seen first: the one of the largest M1, or else M5, or else code."""
    shown = [feature for feature, e in findings.examples.items() if len(e.bands) > 1]
    for values in findings.values.values():
        known = [feature for feature in shown if not np.isnan(values[feature])]
        if known:
            return max(known, key=lambda feature: values[feature])
    return max(shown, key=lambda feature: findings.table.largest[feature], default=None)


def features_with_images(folder):
    """Numbers of the features that the pages in `folder` show on images; empty without pages."""
    path = Path(folder) / "examples.js"
    if not path.exists():
        return set()
    return set(map(int, read_script(path)["features"]))


def _write_pictures(folder, files, queries, transform):
    """Write the pictures of a page, each on its own: thousands are not waited for one by one.

    files: number → image file. The pages, which are written later, are what says that all is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in files.items():
        (folder / f"{number}.webp").write_bytes(webp_of(path, transform))
    for place, query in enumerate(queries):
        (folder / f"query-{place}.webp").write_bytes(as_webp(as_seen(query.picture, transform)))


def _number(value):
    return "" if np.isnan(value) else f"{value:.6g}"

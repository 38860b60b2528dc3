"""The static page of two SAEs: matched features side by side on their images.

Its files are described in docs/formats.md.
"""

import csv
import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image

from visae.audit.cards import MATCHES, write_card
from visae.audit.matches import KINDS
from visae.audit.page_data import bytes_of, four_digits, rounded, write_script
from visae.audit.pictures import strip, webp_of
from visae.base.files import write_text
from visae.base.templates import environment
from visae.images.decoding import load_image

HERE = Path(__file__).parent
SIDES = ("left", "right")
_CARD = 4  # images of either feature on the card


def write_match_page(paths, about, sides, findings, image_paths, class_names, inputs=()):
    """Write the page of two SAEs.

    paths: name (of `visae.base.paths.MATCH_FILES`, and `images`, a folder) → where to write.
    about: what the page says: `study`, `split`, `report` (seen from the page), `quantile`,
    `shuffles` and, of either side in `sides`, `sae`, `backbone`, `label`, `layer`, `page` (of its
    features, seen from the page, or None). sides: the two open `Side`s. findings: their
    `MatchFindings`. image_paths: image id → file. class_names: by label. inputs: the files that
    they are made of.
    """
    class_names = dict(enumerate(class_names))
    alike = sides[0].transform == sides[1].transform
    facts = _facts(findings)
    card = {side: own.name for side, own in zip(SIDES, sides, strict=True)} | facts
    about = about | facts
    about |= {
        "framed": sides[0].framing == sides[1].framing,
        "sides": [
            own | {"grid": list(side.grid), "suffix": suffix}
            for own, side, suffix in zip(
                about["sides"], sides, ("", "" if alike else "-right"), strict=True
            )
        ],
        "labelled": bool((sides[0].cache.labels >= 0).any()),
    }
    _write_pictures(Path(paths["images"]), sides, findings, image_paths, alike)
    write_text(paths["matches.csv"], _csv(sides, findings, class_names))
    write_script(paths["table.js"], "table", _table(sides, findings, class_names))
    write_script(paths["examples.js"], "examples", _examples(sides, findings, class_names))
    write_text(paths["index.html"], _template().render(about=about))
    pixels = _picture(sides, findings, image_paths)
    write_card(paths["card.json"], MATCHES, card, pixels, inputs)


@functools.cache
def _template():
    """Compiled once: a job writes the pages of many pairs."""
    templates = environment(HERE / "templates", HERE / "assets", html=True)
    return templates.get_template("matches.html.jinja")


def _facts(findings):
    """What is said of all matches, as JSON has it."""
    row, best = findings.best, None
    if row is not None:
        left, right = findings.pairs[row].tolist()
        best = {"left": left, "right": right, "strength": float(findings.strength["images"][row])}
    return {
        "images": len(findings.common[0]),
        "kinds": {
            kind: {
                "items": matches.items,
                "live": list(matches.live),
                "mutual": len(matches.pairs),
                "above": int(matches.above.sum()),
                "shares": list(matches.shares),
                "control": list(matches.control_shares),
                "median": matches.median,
            }
            for kind, matches in findings.matches.items()
        },
        "apart": findings.apart,
        "rows": len(findings.pairs),
        "shown": len(findings.shown),
        "best": best,
    }


def _columns(sides, findings):
    """(frequency, images, label, purity) of the features of every row, side by side."""
    for side, features in zip(sides, findings.pairs.T, strict=True):
        table = side.table
        yield (
            table.frequency[features],
            table.images[features],
            table.label[features],
            table.purity[features],
        )


def _table(sides, findings, class_names):
    """The columns of the table, a value per row; None where there is none."""
    columns, used = {}, set()
    for name, features, facts in zip(
        SIDES, findings.pairs.T, _columns(sides, findings), strict=True
    ):
        frequency, images, label, purity = facts
        columns |= {
            name: features.tolist(),
            f"{name}Frequency": rounded(frequency),
            f"{name}Images": images.tolist(),
            f"{name}Label": [label if label >= 0 else None for label in label.tolist()],
            f"{name}Purity": rounded(purity),
        }
        used |= set(label.tolist()) - {-1}
    for kind in KINDS:
        known = findings.strength.get(kind)
        columns[kind] = [None] * len(findings.pairs) if known is None else rounded(known)
        columns[f"{kind}Above"] = (
            findings.above[kind].astype(int).tolist() if known is not None else columns[kind]
        )
    return {"columns": columns, "classes": {label: class_names[label] for label in sorted(used)}}


def _csv(sides, findings, class_names):
    """A row per match above the control."""
    columns: dict[str, list] = dict(zip(SIDES, findings.pairs.T.tolist(), strict=True))
    for kind in KINDS:
        known = findings.strength.get(kind)
        empty = [""] * len(findings.pairs)
        columns[f"{kind}_correlation"] = empty if known is None else [f"{r:.6g}" for r in known]
        columns[f"{kind}_match"] = (
            empty if known is None else [str(bool(a)).lower() for a in findings.above[kind]]
        )
    for name, (frequency, images, label, purity) in zip(
        SIDES, _columns(sides, findings), strict=True
    ):
        columns |= {
            f"{name}_frequency": [f"{value:.6g}" for value in frequency],
            f"{name}_images": images.tolist(),
            f"{name}_class": [class_names.get(value, "") for value in label.tolist()],
            f"{name}_purity": ["" if np.isnan(value) else f"{value:.6g}" for value in purity],
        }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _examples(sides, findings, class_names):
    """Rows with images as the page reads them, codes as bytes: 255 for a feature's largest."""
    rows = {}
    for row, shown in findings.shown.items():
        rows[row] = {"images": shown.images.tolist(), "together": shown.together()}
        for name, side, feature, maps, top in zip(
            SIDES, sides, findings.pairs[row], shown.maps, shown.top, strict=True
        ):
            largest = side.table.largest[feature]
            rows[row][name] = {
                "codes": [four_digits(float(map_hw.max())) for map_hw in maps],
                "maps": [bytes_of(map_hw, largest) for map_hw in maps],
                "top": top,
            }
    cache, numbers = sides[0].cache, findings.common[0]
    return {
        "rows": rows,
        "images": {
            image: [
                cache.image_ids[numbers[image]],
                class_names.get(int(cache.labels[numbers[image]]), ""),
            ]
            for image in _images(findings)
        },
    }


def _images(findings):
    """The common images that are shown, by number."""
    return sorted({int(image) for shown in findings.shown.values() for image in shown.images})


def _write_pictures(folder, sides, findings, image_paths, alike):
    """The pictures, as either backbone saw them where that differs."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in _images(findings):
        path = image_paths[sides[0].cache.image_ids[findings.common[0][image]]]
        for side, suffix in zip(sides, ("",) if alike else ("", "-right"), strict=False):
            (folder / f"{image}{suffix}.webp").write_bytes(webp_of(path, side.transform))


def _picture(sides, findings, image_paths):
    """What the report shows: the best match on the same images, the left feature above."""
    row = findings.best
    if row is None:
        return np.zeros((1, 1, 3), np.uint8)
    shown, strips = findings.shown[row], []
    places = shown.together()[:_CARD]
    ids = [sides[0].cache.image_ids[n] for n in findings.common[0][shown.images[places]]]
    images = [load_image(image_paths[name]) for name in ids]
    for side, feature, maps in zip(sides, findings.pairs[row], shown.maps, strict=True):
        shares = maps[places] / side.table.largest[feature]
        strips.append(Image.fromarray(strip(images, shares, side.transform)))
    width = max(each.width for each in strips)
    sizes = [(width, round(each.height * width / each.width)) for each in strips]
    gap = np.full((width // 80, width, 3), 255, np.uint8)
    upper, lower = (np.asarray(e.resize(s)) for e, s in zip(strips, sizes, strict=True))
    return np.concatenate([upper, gap, lower])

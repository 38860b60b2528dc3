"""A static page of one SAE: pictures before and after edits, with sliders over what was computed.

Its look, and what it does with elements and numbers, is that of the pages of features
(`visae.audit`). The files are described in docs/formats.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visae.audit import pages as feature_pages
from visae.audit.cards import write_card
from visae.audit.page_data import base64_of, write_script
from visae.audit.pictures import as_seen, webp_of
from visae.base.files import write_text
from visae.base.templates import environment
from visae.images.decoding import load_image
from visae.interventions.settings import (
    CARD_FORMAT,
    EDITS,
    FEATURE,
    HEAD_LABELS,
    MEAN,
    RANDOM,
    SEGMENTATION,
)

HERE = Path(__file__).parent
COLOURS = (
    *("#e6550d", "#3182bd", "#31a354", "#d6a300", "#8e44ad", "#17becf"),
    *("#c2185b", "#7f8c1b", "#5d6d7e", "#a0522d", "#0f766e", "#4b5bd7"),
)
"""Of classes on pictures; they repeat."""
_VEIL = 0.55  # opacity of a class over a picture
_CARD_IMAGES = 2


class Watcher:
    """Keeps what heads answer of the images that a page shows.

    edits: (`Candidate`, number of its chosen feature) by number. shown: that number → numbers of
    images. segments: whether heads answer patch by patch.
    """

    def __init__(self, edits, shown, segments):
        self._edits, self._segments = edits, segments
        self._of = {}  # image → numbers of the chosen features that it is shown for
        for place, images in shown.items():
            for image in images:
                self._of.setdefault(int(image), set()).add(place)
        self.answers = {}  # (head, chosen or None, edit, strength, image) → answer

    def __call__(self, head, number, strength, rows, predicted_bu, probabilities_buc):
        """See `measuring.Watch`."""
        place, one = None, None
        if number is not None:
            one, place = self._edits[number]
            if one.seed:
                return
        for image in range(rows.start, rows.stop):
            wanted = self._of.get(image, ())
            if wanted and (place is None or place in wanted):
                key = (head, place, one and one.kind, strength, image)
                self.answers[key] = self._answer(
                    predicted_bu[image - rows.start], probabilities_buc[image - rows.start]
                )

    def _answer(self, predicted_u, probabilities_uc):
        if self._segments:
            return predicted_u.cpu().numpy().astype(np.uint8)
        return probabilities_uc[0].cpu().numpy()


def shown_images(task, chosen, edits, most):
    """{number in `chosen`: numbers of test images}: those of the class that the feature's edit
    changes most, at most `most`.

    edits: the feature's `Edit`, one for each of `chosen`.
    """
    found = {}
    for place, (one, edit) in enumerate(zip(chosen, edits, strict=True)):
        target_nu = task.test.labels == one.label
        amounts_nu = edit.amounts_np.abs().cpu().numpy()
        inside_n = (amounts_nu * target_nu).sum(axis=1)
        order = np.argsort(-inside_n, kind="stable")
        found[place] = [int(n) for n in order if target_nu[n].any()][:most]
    return found


# ---------------------------------------------------------------- data of the page


def section(number, task, head, measured_rows, chosen, shown, watcher, strengths, accuracy):
    """One data set and head as the page reads it: see docs/formats.md, `edits.js`."""
    segments = task.kind == SEGMENTATION
    steps = sorted({0, *strengths})
    features = []
    for place, one in enumerate(chosen):
        features.append(
            {
                "feature": one.feature,
                "class": one.label,
                "correlation": round(one.correlation, 3),
                "how": one.how,
                "shares": _shares(measured_rows, task.classes[one.label], one, steps),
                "pictures": [
                    {
                        "image": f"{number}-{image}",
                        "name": task.test.records[image].image_id,
                        "truth": _coded(task.test.labels[image], segments),
                        "answers": {
                            kind: [
                                _coded(answer, segments)
                                for answer in _answers(watcher, head, place, kind, steps, image)
                            ]
                            for kind in _kinds(measured_rows, one)
                        },
                    }
                    for image in shown[place]
                ],
            }
        )
    return {
        "task": number,
        "dataset": task.dataset,
        "kind": task.kind,
        "head": HEAD_LABELS[head],
        "classes": list(task.classes),
        "accuracy": round(accuracy, 4),
        "strengths": steps,
        "features": features,
    }


def _kinds(rows, one):
    """The edits that were made for a chosen feature."""
    own = {row["edit"] for row in rows if row["feature"] == one.feature}
    return [kind for kind in EDITS if kind in own and (kind != MEAN or one.how == "rule")]


def _answers(watcher, head, place, kind, steps, image):
    plain = watcher.answers[head, None, None, 0.0, image]
    return [watcher.answers.get((head, place, kind, step, image), plain) for step in steps]


def _shares(rows, name, one, steps):
    """{edit: [[share of the target, share of the others] per step]}, means over seeds."""
    found = {}
    for kind in _kinds(rows, one):
        of_kind = [
            row for row in rows
            if (row["feature"], row["class"], row["chosen"], row["edit"])
            == (one.feature, name, one.how, kind)
        ]  # fmt: skip
        found[kind] = []
        for step in steps:
            own = [row for row in of_kind if row["strength"] == step]
            found[kind].append([_share(own, "target"), _share(own, "other")] if own else [0, 0])
    return found


def _share(rows, key):
    total = sum(row[key] for row in rows)
    return round(sum(row[f"{key}_changed"] for row in rows) / total, 4) if total else None


def _coded(values, segments):
    """A byte per patch in base64 (255: unlabelled), or numbers."""
    if segments:
        return base64_of(np.where(values < 0, 255, values).astype(np.uint8))
    if values.dtype.kind == "f":
        return [round(float(value), 3) for value in values]
    return int(values[0])


# ---------------------------------------------------------------- files


def write_page(paths, about, sections, tasks, shown_by_task, roots, transform):
    """Write the page of an SAE.

    paths: name (of `base.paths.INTERVENTION_FILES`, and `images`, a folder) → where to write.
    about: what it says of the SAE. sections: of `section`. tasks, shown_by_task, roots: the tasks
    in the order of their numbers, the images that are shown of each, the folders of these images.
    """
    folder = Path(paths["images"])
    folder.mkdir(parents=True, exist_ok=True)
    for number, (task, shown, root) in enumerate(zip(tasks, shown_by_task, roots, strict=True)):
        for image in sorted({image for images in shown.values() for image in images}):
            path = Path(root) / task.test.records[image].path
            (folder / f"{number}-{image}.webp").write_bytes(webp_of(path, transform))
    write_script(paths["edits.js"], "edits", sections)
    made = environment(
        HERE / "templates", HERE / "assets", html=True,
        shared=[(feature_pages.HERE / "templates", feature_pages.HERE / "assets")],
    )  # fmt: skip
    about = about | {"edits": EDITS, "colours": COLOURS, "veil": _VEIL}
    page = made.get_template("edits.html.jinja").render(about=about)
    write_text(paths["index.html"], page)


def overlaid(picture, labels_hw):
    """A PIL image with the classes of its patches [H, W] laid over it, uint8 [h, w, 3]."""
    pixels = np.asarray(picture, np.float32)
    rows, columns = (
        np.arange(side) * cells // side
        for side, cells in zip(pixels.shape[:2], labels_hw.shape, strict=True)
    )
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS])
    colours = palette[labels_hw % len(palette)][rows][:, columns]
    return np.round((1 - _VEIL) * pixels + _VEIL * colours).astype(np.uint8)


def write_edit_card(path, card, pictures, inputs):
    """What the report shows. card: numbers and words; pictures: uint8 [h, w, 3] of one height."""
    gap = np.full((pictures[0].shape[0], 6, 3), 255, np.uint8)
    joined = [part for picture in pictures for part in (gap, picture)][1:]
    write_card(path, CARD_FORMAT, card, np.concatenate(joined, axis=1), inputs)


def card_of(sections, tasks, roots, transform, grid, shown_by_task, watchers):
    """(card, pictures) of the edit that changes its target most, beyond what it changes besides.

    Of segmentation where there is some: images, and what is predicted before and after.
    """
    ranked = []
    for place, part in enumerate(sections):
        for number, feature in enumerate(part["features"]):
            for step, (target, other) in enumerate(feature["shares"].get(FEATURE, [])):
                shown = shown_by_task[part["task"]][number]
                if target is not None and shown and part["strengths"][step]:
                    gain = target - (other or 0)
                    ranked.append((part["kind"] == SEGMENTATION, gain, -place, -number, step))
    if not ranked:
        return {"feature": None}, [np.zeros((1, 1, 3), np.uint8)]
    _, _, place, number, step = max(ranked)
    part = sections[-place]
    feature, task = part["features"][-number], tasks[part["task"]]
    target, other = feature["shares"][FEATURE][step]
    strength = part["strengths"][step]
    control = feature["shares"][RANDOM][step]
    card = {
        "feature": feature["feature"],
        "class": part["classes"][feature["class"]],
        "dataset": part["dataset"],
        "head": part["head"],
        "kind": part["kind"],
        "strength": strength,
        "target": target,
        "other": other,
        "random_target": control[0],
        "random_other": control[1],
    }
    pictures = []
    for image in shown_by_task[part["task"]][-number][:_CARD_IMAGES]:
        path = Path(roots[part["task"]]) / task.test.records[image].path
        picture = as_seen(load_image(path), transform)
        pictures.append(np.asarray(picture))
        if part["kind"] == SEGMENTATION:
            answers = watchers[part["task"]].answers
            before = answers["patches", None, None, 0.0, image]
            after = answers.get(("patches", -number, FEATURE, strength, image), before)
            pictures += [overlaid(picture, labels.reshape(grid)) for labels in (before, after)]
    return card, pictures

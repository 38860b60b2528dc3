"""The plan of a study as text and CSV: what `visae.plan` counts, summed and made readable."""

import csv
from dataclasses import asdict

from visae.base.files import atomic_path
from visae.evals.shelf import titles_by_reason
from visae.plan import probes
from visae.plan.again import again
from visae.plan.artefacts import artefacts, resume_files
from visae.plan.disk import readable
from visae.study.storage import storages

COLUMNS = ("written", "read", "images", "FLOPs, CUDA", "FLOPs, CPU", "GPU-hours")

AGAIN = {"compute": "while SAEs train", "stream": "while they encode"}
"""Stages in which images pass through a network for a sweep."""

SOURCES = {
    "config": "as the config states",
    "files": "as the files say, which are not indexed yet",
    "published": "as published; once the files lie in `root` they are counted",
    "unknown": "NOT COUNTED: how many is unknown until the data set is indexed or the config "
    "states it (`images` of the split)",
}


def totals(rows, speeds):
    """Sums over Stage rows in the order of COLUMNS."""
    sums = [
        sum(getattr(row, name) for row in rows)
        for name in ("written", "read", "images", "gpu_flops", "cpu_flops")
    ]
    return [*sums, sum(row.hours(speeds) for row in rows)]


def summary(study, geometries, counts, rows, free):
    """What the terminal shows: totals by stage, the disk, and what was assumed. Markdown.

    rows: of `work.stages`. free: bytes free where the results go.
    """
    speeds = study.config["planning"]
    lines = stage_table(rows, speeds)
    weights = {a.path for a in artefacts(study, geometries, counts) if a.stage == "train"}
    resume = sum(file.size for file in resume_files(study, geometries, weights))
    written = sum(row.written for row in rows)
    lines += [
        "",
        f"Disk: {readable(written + resume)} at most at once. Of these, {readable(resume)} are "
        "resumable checkpoints, if all training jobs run at the same time. Nothing is deleted. "
        f"Free now: {readable(free)}.",
        *_computed(study, rows),
        *_again(study, counts),
        "",
        f"GPU-hours are an assumption, not a measurement: {speeds['float32_flops']:.3g} FLOP/s in "
        f"float32, {speeds['float16_flops']:.3g} in float16, and reading at "
        f"{readable(speeds['read_bytes'])}/s where that takes longer (`planning` in the config).",
        f"The number of steps that a probe takes is assumed too: {probes.EVALUATIONS} evaluations "
        f"of L-BFGS ({probes.BINARY_EVALUATIONS} for one class against the rest), "
        f"{probes.NEWTON_STEPS} steps of Newton's method.",
        "Not counted: heads of downstream tasks, tables, figures, pages of features; image files.",
    ]
    for titles, reason in titles_by_reason(study.absent):
        lines.append(f"Not computed: {titles} ({reason}).")
    for source, text in SOURCES.items():
        names = [
            f"{name} ({count.images:,})" if count.images else name
            for name, count in counts.items()
            if count.source == source
        ]
        if names:
            lines.append(f"Images of {', '.join(names)}: {text}.")
    return "\n".join(lines) + "\n"


def _computed(study, rows):
    """What is computed instead of stored: lines of the summary."""
    if all(map(study.training.cached_in, storages(study))):
        return []
    passed = {kind: sum(row.images for row in rows if row.stage == kind) for kind in AGAIN}
    counts = " and ".join(f"{images:,} {AGAIN[kind]}" for kind, images in passed.items() if images)
    if not counts:
        return []
    return [
        "",
        "`storage: lean` keeps no activations to train on. Images pass through networks again, "
        f"{counts}. What metrics read is kept: one that is added computes nothing else again, if "
        "its sweep was encoded on its data sets. A sweep that joins a pass has the others trained "
        "and encoded again.",
    ]


def _again(study, counts):
    """What is there and would be computed again: lines of the summary."""
    lines = [
        f"- {found.work}: {found.files:,} {'file' if found.files == 1 else 'files'}"
        + (f", {found.images:,} images through a network" if found.images else "")
        for found in again(study, counts)
    ]
    said = (
        "These jobs write files that are there again, since others of theirs are not or SAEs are "
        "trained again (what reads them runs again, too):"
    )
    return ["", said, "", *lines] if lines else []


def stage_table(rows, speeds):
    """Sums by stage, and of all: the lines of a Markdown table."""
    kinds = dict.fromkeys(row.stage for row in rows)
    groups = {kind: [row for row in rows if row.stage == kind] for kind in kinds}
    return _table("stage", groups, rows, speeds)


def details(rows, speeds):
    """Every stage by block of a backbone, and by sweep: Markdown tables."""
    lines = []
    for kind in dict.fromkeys(row.stage for row in rows):
        mine = [row for row in rows if row.stage == kind]
        groups = {}
        for row in mine:
            sweep = "" if "/" in row.work else f", {row.work}"
            groups.setdefault(f"{row.backbone}, block {row.layer}{sweep}", []).append(row)
        lines += ["", f"## {kind}", "", *_table("work", groups, mine, speeds)]
    return "\n".join(lines) + "\n"


def write_rows(path, rows, speeds):
    """Write every Stage as a row of a CSV file, in bytes, FLOPs and hours."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        records = [asdict(row) | {"gpu_hours": f"{row.hours(speeds):.4g}"} for row in rows]
        writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def _table(first, groups, rows, speeds):
    lines = [f"| {first} | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS)]
    for name, group in [*groups.items(), ("**all**", rows)]:
        lines.append(f"| {name} | {' | '.join(_cells(totals(group, speeds)))} |")
    return lines


def _cells(sums):
    written, read, images, gpu, cpu, hours = sums
    work = [f"{flops:.2e}" if flops else "–" for flops in (gpu, cpu)]
    return [
        readable(written),
        readable(read) if read else "–",
        f"{images:,}" if images else "–",
        *work,
        f"{hours:.1f}" if hours else "–",
    ]

"""The interventions on one SAE: every task, every head, and what of it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from visae.audit.choice import check_named
from visae.audit.queries import rows_of as numbers_of
from visae.backbones.continuing import Continuation
from visae.base.errors import UserError
from visae.evals.segmentation.heads import HeadSettings
from visae.interventions import pages
from visae.interventions.heads import usable
from visae.interventions.measuring import (
    Network,
    candidates,
    choose,
    chosen_patches,
    learn,
    measure,
    test_activations,
)
from visae.interventions.outcomes import rows_of, write_outcomes
from visae.interventions.settings import FEATURE, SEGMENTATION
from visae.interventions.tasks import Task


class TaskEdits(NamedTuple):
    """What came out of one task."""

    outcomes: list[dict[str, Any]]
    """One for each head, as `write_outcomes` takes them."""
    sections: list[dict[str, Any]]
    """The same as the page shows them."""
    shown: dict[int, list[int]]
    """Number of a chosen feature → numbers of the test images that are shown."""
    watcher: pages.Watcher


def edit_task(
    number: int,
    network: Network,
    task: Task,
    heads: list[str],
    settings: dict[str, Any],
    head: HeadSettings,
    named: list[int],
    whose: str,
    seed: int,
) -> TaskEdits:
    """Measure all edits of one task.

    number: of the task. heads: that edits can reach. settings: the config's section
    `interventions`. head: how the patch head is fitted. named: features that are edited besides.
    whose: what messages call the SAE.

    Raises UserError for a named feature that is dead or not there, and a patch outside the grid.
    """
    grid = network.backbone.grid
    patches = settings["patches"]
    own = None if patches is None else numbers_of(patches, grid)
    patches_p = chosen_patches(own, grid[0] * grid[1]).to(network.device)
    learned = learn(network, task, heads, head, seed)
    where = f"training image of {task.dataset}"
    check_named(named, learned.codes.live, whose, "interventions.named", where)
    chosen, untold = choose(learned, named, settings["classes"], task.kind)
    activations_npd = test_activations(network, task.test)
    edits = candidates(
        network, learned, chosen, activations_npd, patches_p, settings["seeds"], seed
    )
    of_features = [one.edit for one in edits if one.kind == FEATURE]
    shown = pages.shown_images(task, chosen, of_features, settings["shown"])
    places = {one: place for place, one in enumerate(chosen)}
    numbered = [(one, places[one.chosen]) for one in edits]
    watcher = pages.Watcher(numbered, shown, task.kind == SEGMENTATION)
    strengths = settings["strengths"]
    measured = measure(network, learned.heads, task.test, edits, strengths, watcher)
    outcomes, sections = [], []
    for name in heads:
        rows = rows_of(measured, name, edits, strengths, task.classes)
        accuracy = measured.right[name] / measured.labelled
        outcomes.append(
            {
                "dataset": task.dataset,
                "kind": task.kind,
                "head": name,
                "classes": len(task.classes),
                "accuracy": accuracy,
                "units": measured.labelled,
                "untold": [task.classes[label] for label in untold],
                "rows": rows,
            }
        )
        sections.append(
            pages.section(number, task, name, rows, chosen, shown, watcher, strengths, accuracy)
        )
    return TaskEdits(outcomes, sections, shown, watcher)


def edit_sae(
    continuation: Continuation,
    sae: Any,
    tasks: list[tuple[Task, str | Path]],
    settings: dict[str, Any],
    head: HeadSettings,
    named: list[int],
    about: dict[str, Any],
    paths: dict[str, str],
    seed: int,
    device: str,
    inputs: list[str | Path],
) -> None:
    """Measure all tasks with one SAE, and write its files.

    tasks: with the folder of their test images. about: what the page says of the SAE, see
    `audit.pages.write_pages`. paths: of the files to write. The other arguments are those of
    `edit_task`. Raises UserError where an edit reaches no head of any task.
    """
    backbone, layer = continuation.backbone, continuation.layer
    network, whose = Network(continuation, sae, device), f"{about['place']}/{about['sae']}"
    usable_of = {
        kind: usable(kind, settings["heads"], backbone, layer)
        for kind in dict.fromkeys(task.kind for task, _ in tasks)
    }
    done, kept = [], []
    for task, root in tasks:
        if heads := usable_of[task.kind]:
            done.append((task, root))
            kept.append(
                edit_task(len(kept), network, task, heads, settings, head, named, whose, seed)
            )
    if not done:
        raise UserError(
            f"no head that interventions.heads names ({settings['heads']}) has a data set in "
            f"interventions.datasets for {whose}: name a head of theirs"
        )
    only_tasks, roots = [task for task, _ in done], [root for _, root in done]
    sections = [section for of_task in kept for section in of_task.sections]
    shown = [of_task.shown for of_task in kept]
    edited = len(settings["patches"] or ()) or backbone.grid[0] * backbone.grid[1]
    said = {
        "backbone": about["backbone"],
        "layer": layer,
        "sae": about["sae"],
        "blocks_left": continuation.left,
        "patches": edited,
    }
    card, pictures = pages.card_of(
        sections, only_tasks, roots, backbone.transform, backbone.grid, shown,
        [of_task.watcher for of_task in kept],
    )  # fmt: skip
    pages.write_page(
        paths, about | said | {"grid": list(backbone.grid)}, sections, only_tasks, shown, roots,
        backbone.transform,
    )  # fmt: skip
    pages.write_edit_card(paths["card.json"], card, pictures, inputs)
    outcomes = [outcome for of_task in kept for outcome in of_task.outcomes]
    write_outcomes(paths["outcomes.json"], said, outcomes, inputs)

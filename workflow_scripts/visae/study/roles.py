"""Who in a study plays which part of the paper."""

import itertools
import json
import math
from dataclasses import dataclass

from visae.evals.shelf import paper_metrics
from visae.images.layouts import LAYOUTS
from visae.sae.specs import TrainingSettings
from visae.study.parts import Sweep

PAPER_METRICS = tuple(paper_metrics())
"""M1 to M7. A study may have others; the paper's claims are about these."""

PAPER_PARADIGMS = {
    "self-distillation": "dinov2",
    "image-text contrast (softmax)": "clip",
    "image-text contrast (sigmoid)": "siglip",
    "supervised": "deit",
    "masked reconstruction": "mae",
}
"""Paradigm in the config → the backbone that stands for it in the paper."""

BACKBONES = tuple(PAPER_PARADIGMS.values())

PAPER_TASKS = {"cub": "cub200", "dtd": "dtd", "inaturalist": "inaturalist"}
"""The paper's data set by its name in `paper_datasets` → its name in the published values."""

PAPER_AUDITED = (16, 192)
"""Expansion factor and K of the SAE whose features the paper's Figure 5 shows."""


def main(study):
    """The first sweep of the config, which the tables and figures of the paper are about."""
    return next(iter(study.sweeps.values()))


def others(study):
    """The sweeps besides the main one that may play a part: SAEs of people's own play none."""
    return [sweep for sweep in list(study.sweeps.values())[1:] if not sweep.folders]


def existing(sweep: Sweep | None) -> Sweep:
    """A sweep that the study is known to have, since what is asked for needs it."""
    if sweep is None:
        raise ValueError("the study has no sweep that plays this part")
    return sweep


def early(study):
    """The sweep that repeats the main one at another layer (Appendix D), or None."""
    first = main(study)
    for sweep in others(study):
        layers = sweep.layers.items()
        elsewhere = all(first.layers.get(b, layer) != layer for b, layer in layers)
        if sweep.family == first.family and elsewhere:
            return sweep
    return None


def compared_layers(study):
    """(early, late): the blocks of the early sweep and of the main one."""
    at_early = existing(early(study))
    backbone = at_early.backbones[0]
    return at_early.layers[backbone], main(study).layers[backbone]


def second_family(study):
    """The first sweep of another family than the main one (Appendix Q), or None."""
    family = main(study).family
    return next((sweep for sweep in others(study) if sweep.family != family), None)


@dataclass(frozen=True)
class Recipe:
    """A way of training: its name, that of its first sweep, and the sweeps, which differ in seeds.

    own: what a config sets for it, without the seed.
    """

    name: str
    family: str
    own: dict
    sweeps: tuple[str, ...]


def recipes(study):
    """The `Recipe`s that train a configuration on activations on which another one trains it, too.

    A configuration is an expansion factor and a number of active features per token.
    """
    found = {}
    for sweep in study.sweeps.values():
        if not sweep.imported:
            settings = TrainingSettings(**study.training_settings(sweep))
            way = settings.described(sweep.saes[0]) | {"seed": None}
            found.setdefault((sweep.family, json.dumps(way, sort_keys=True)), []).append(sweep)
    cells = {key: set().union(*map(_cells, sweeps)) for key, sweeps in found.items()}
    made = []
    for key, sweeps in found.items():
        others = set().union(*(cells[other] for other in found if other != key))
        if names := tuple(sweep.name for sweep in sweeps if _cells(sweep) & others):
            own = {k: v for k, v in study.own_settings(names[0]).items() if k != "seed"}
            made.append(Recipe(names[0], key[0], own, names))
    return made


def _cells(sweep):
    """(place, expansion factor, K) of each SAE of a sweep with a number of active features."""
    return {
        (place, spec.expansion_factor, spec.k)
        for place in sweep.places
        for spec in sweep.saes
        if spec.k is not None
    }


def audited(study):
    """The SAE of the main sweep whose features Figure 5 shows: the paper's, or the nearest.

    Nearest by ratio, in expansion factor first; of two as near, the earlier in the grid.
    """
    return min(main(study).saes, key=_from_audited)


def _from_audited(spec):
    sizes = spec.expansion_factor, spec.sparsity or math.inf  # unknown: the farthest
    ratios = zip(sizes, PAPER_AUDITED, strict=True)
    return [round(abs(math.log(size / paper)), 9) for size, paper in ratios]


def on_pages(study):
    """The `Sae`s whose features have pages: those that the config names, else the audited ones."""
    section = study.config["features"]
    if section is None:
        return []
    by_name = {sae.full_name: sae for sae in study.saes()}
    if section["saes"] is None:
        return _audited_of_each(study)
    return [by_name[name] for name in section["saes"]]


def matched(study):
    """[(`Sae`, `Sae`), …]: those whose features are matched.

    They are those that the config names. Else they are, of each two backbones, the first SAE that
    has pages; and of the first backbone that has another SAE, these two.
    """
    section = study.config["matches"]
    if section is None:
        return []
    if section["pairs"] is not None:
        by_name = {sae.full_name: sae for sae in study.saes()}
        return [(by_name[left], by_name[right]) for left, right in section["pairs"]]
    of_backbones = {}
    for sae in on_pages(study) or _audited_of_each(study):
        of_backbones.setdefault(sae.backbone, sae)
    siblings = ((sae, _sibling(study, sae)) for sae in of_backbones.values())
    found = [*itertools.combinations(of_backbones.values(), 2)]
    return found + [pair for pair in siblings if pair[1]][:1]


def _sibling(study, sae):
    """Another SAE on the same activations, if possible one that differs in its sparsity alone."""
    others = [o for o in study.saes() if o.place == sae.place and o != sae]
    same = (sae.spec.family, sae.spec.expansion_factor)
    return min(
        others,
        key=lambda o: (o.spec.family != same[0], o.spec.expansion_factor != same[1]),
        default=None,
    )


def _audited_of_each(study):
    """The audited `Sae` of each backbone of the main sweep."""
    name = audited(study).name
    return [sae for sae in study.saes(main(study)) if sae.name == name]


def edited(study):
    """The `Sae`s whose features are edited: those that the config names, else one per backbone.

    None without a data set with labels or masks. After the last block only the norm is left. By
    default these are SAEs of blocks before the last one that the study reads of their backbone, of
    the size nearest to Figure 5's.
    """
    section = study.config["interventions"]
    if section is None or not edited_tasks(study):
        return []
    if section["saes"] is not None:
        by_name = {sae.full_name: sae for sae in study.saes()}
        return [by_name[name] for name in section["saes"]]
    last = {name: entry["layer"] for name, entry in study.backbones.items()}
    for sae in study.saes():
        last[sae.backbone] = max(last[sae.backbone], sae.layer)
    found = {}
    for sae in study.saes():
        if sae.layer < last[sae.backbone]:
            found.setdefault(sae.backbone, []).append(sae)
    return [min(saes, key=lambda sae: _from_audited(sae.spec)) for saes in found.values()]


def edited_tasks(study, whole=False):
    """Data set → (training and test `Split`, kind of task), of those that edits are held to.

    classification: those on which probes are fitted. segmentation: the one with masks. whole: all
    that could be asked for.
    """
    asked = None if whole else study.config["interventions"]["datasets"]
    tasks = {
        name: (*study.probe_splits(name), "classification")
        for name in (study.evaluation.dataset, *study.cross_domain)
        if all(split.labelled for split in study.probe_splits(name))
    }
    if study.segmentation:
        train, test = study.segmentation
        tasks[train.dataset] = (train, test, "segmentation")
    return {name: task for name, task in tasks.items() if asked is None or name in asked}


def segmentation_head(study):
    """How heads on single patches are fitted, as far as the config says; {} by default."""
    return (study.config["downstream"] or {})["segmentation"]["head"] if study.segmentation else {}


def control(study):
    """The sweep whose backbones have permuted patches, or None."""
    for sweep in study.sweeps.values():
        if {study.backbones[b]["token_order"] for b in sweep.backbones} == {"permuted"}:
            return sweep
    return None


def control_arms(study):
    """[(backbone in raster order, the same permuted), …] of the control."""
    arms = control(study)
    return [
        (raster, permuted)
        for permuted in (arms.backbones if arms else ())
        for raster in in_raster_order(study, permuted)
        if raster in main(study).backbones
    ]


def views(study):
    """{permuted backbone: the first backbone of the study that is the same in raster order}."""
    return {
        name: same[0]
        for name, entry in study.backbones.items()
        if entry["token_order"] == "permuted" and (same := in_raster_order(study, name))
    }


def in_raster_order(study, backbone):
    """The backbones in raster order whose activations are those of `backbone` but for the order."""
    settings = _but_for_order(study, backbone)
    return [
        name
        for name, entry in study.backbones.items()
        if entry["token_order"] == "raster" and _but_for_order(study, name) == settings
    ]


def _but_for_order(study, backbone):
    """What decides a backbone's activations but for the order of patches."""
    settings = study.backbone_settings(backbone)
    del settings["token_order"]
    if settings["weights"] != "random":
        del settings["seed"]  # draws nothing but the order
    return settings


def paper_datasets(study):
    """The paper's data set → the M6 data set of this study in its layout, the first if many."""
    found = {}
    for name in study.cross_domain:
        in_paper = LAYOUTS[study.config["datasets"][name]["layout"]].paper
        if in_paper:
            found.setdefault(in_paper, name)
    return found


@dataclass(frozen=True)
class Roles:
    """The parts that claims are about, by name. Build it with `Roles.of`."""

    main: str
    """Sweep of the 60 SAEs."""
    jumprelu: str | None
    """The first other sweep of JumpReLU SAEs, if any."""
    early: str | None
    """Sweep of an earlier layer, if any."""
    backbones: dict
    """The run's backbone → the paper's."""
    tasks: dict
    """The run's data set → the paper's task."""

    @classmethod
    def of(cls, study):
        """Roles in a study."""
        first, at_early = main(study), early(study)
        steered = [sweep for sweep in others(study) if sweep.family == "jumprelu"]
        return cls(
            main=first.name,
            jumprelu=steered[0].name if steered else None,
            early=at_early.name if at_early else None,
            backbones=paper_backbones(study),
            tasks={run: PAPER_TASKS[paper] for paper, run in paper_datasets(study).items()},
        )


def paper_backbones(study):
    """The run's backbone → the paper's.

    A paradigm that several backbones of the main sweep share is played by the one with the
    paper's own name, else by the first that is not a control arm: a permuted one never stands
    for its paradigm.
    """
    found = {}
    for paradigm, paper_name in PAPER_PARADIGMS.items():
        candidates = [
            name
            for name in main(study).backbones
            if study.backbones[name]["paradigm"] == paradigm
            and study.backbones[name]["token_order"] != "permuted"
        ]
        if candidates:
            found[paper_name if paper_name in candidates else candidates[0]] = paper_name
    return found


def judged(study):
    """Whether the paper's claims are judged on a study: as its config says, `report.claims`."""
    said = study.config["report"]["claims"]
    if said == "auto":
        return len(paper_backbones(study)) == len(PAPER_PARADIGMS)
    return said == "always"

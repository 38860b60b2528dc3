"""Who in a run plays which part of the paper."""

from dataclasses import dataclass

from visae.study.study import Study

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
"""The paper's data set by its name in `Study.paper_datasets` → its name in the published values."""


@dataclass(frozen=True)
class Roles:
    """The parts, by name. Build it with `Roles.of`."""

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
    def of(cls, config):
        """Roles in the study of a config.

        A paradigm that several backbones of the main sweep share is played by the one with the
        paper's own name, else by the first in raster order: a permuted control arm never stands
        for its paradigm.
        """
        study = Study(config)
        main = study.main
        backbones = {}
        for paradigm, paper_name in PAPER_PARADIGMS.items():
            candidates = [
                name
                for name in main.backbones
                if study.backbones[name]["paradigm"] == paradigm
                and study.backbones[name]["token_order"] == "raster"
            ]
            if candidates:
                chosen = paper_name if paper_name in candidates else candidates[0]
                backbones[chosen] = paper_name
        steered = [s for s in study.sweeps.values() if s.family == "jumprelu" and s != main]
        return cls(
            main=main.name,
            jumprelu=steered[0].name if steered else None,
            early=study.early.name if study.early else None,
            backbones=backbones,
            tasks={run: PAPER_TASKS[paper] for paper, run in study.paper_datasets().items()},
        )

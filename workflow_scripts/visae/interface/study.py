"""A study that has run, opened by its folder of results."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas

from visae.base.errors import UserError
from visae.base.paths import WEIGHTS, Paths
from visae.images.index import ImageIndex, read_index
from visae.study.config import read_config
from visae.study.study import Study
from visae.tables.scores import read_scores
from visae.tables.tidy import read_rows


class OpenStudy:
    """What a study left on disk, read when it is asked for; nothing is computed again.

    folder: `results/{study}`. Paths in the study's config are relative to the folder that holds
    `results`. Attributes: `name`, `folder`, `study` (the `Study` of its config).

    Raises UserError where the folder holds no study.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.paths = Paths(str(self.folder))
        self.study = Study(read_config(self.paths.config()))
        self.name = self.study.name

    def __repr__(self):
        return f"<study {self.name}: {len(self.saes)} SAEs on {', '.join(self.backbones)}>"

    # ---------------------------------------------------------------- what there is

    @property
    def backbones(self) -> list[str]:
        """The names of its backbones."""
        return list(self.study.backbones)

    @property
    def splits(self) -> list[str]:
        """The splits that SAEs encode, such as `imagenet/val`; the first is the evaluation's."""
        return [split.name for split in self.study.encoded_splits()]

    @property
    def saes(self) -> list[str]:
        """The SAEs that are trained, as `{backbone}/layer{layer}/{name}`."""
        return [
            sae.full_name
            for sae in self.study.saes()
            if Path(self.paths.sae(sae.name, WEIGHTS, sae.place)).exists()
        ]

    def sae(self, name: str):
        """The `visae.interface.sae.OpenSae` of a name in `saes`; UserError if there is none."""
        from visae.interface.sae import OpenSae  # torch

        self.check_trained(name)
        return OpenSae(self, name)

    def check_trained(self, name: str):
        """Raises UserError unless `name` is one of `saes`."""
        if name not in self.saes:
            raise UserError(
                f"the study {self.name} has no trained SAE '{name}': "
                + (f"choose one of {', '.join(self.saes)}" if self.saes else "train its SAEs first")
            )

    # ---------------------------------------------------------------- tables

    def scores(self) -> pandas.DataFrame:
        """`tables/scores.csv`: a row per SAE, metric and reading (docs/formats.md)."""
        return pandas.DataFrame(read_scores(self._existing(self.paths.scores())))

    def downstream(self) -> pandas.DataFrame:
        """`tables/downstream.csv`: a row per source of features, task and reading."""
        return pandas.DataFrame(read_rows(self._existing(self.paths.table("downstream"))))

    def _existing(self, path):
        if not Path(path).exists():
            raise UserError(f"{path} is not there yet: run `snakemake --cores 1 -- tables` for it")
        return path

    # ---------------------------------------------------------------- images and backbones

    @functools.cache  # noqa: B019 (as long as the study is open)
    def index(self, split: str) -> ImageIndex:
        """The images of a split and the classes of its data set."""
        dataset, _, _ = split.partition("/")
        return read_index(self._existing(self.paths.index(split)), self.paths.classes(dataset))

    def root(self, split: str) -> Path:
        """The folder below which the images of a split lie."""
        dataset, _, _ = split.partition("/")
        return self._from_home(self.study.config["datasets"][dataset]["root"])

    @functools.cache  # noqa: B019
    def backbone(self, name: str):
        """The `Backbone` of that name, built with its weights, on the CPU."""
        from visae.backbones import BackboneSpec, build_backbone

        settings = self.study.backbone_settings(name)
        if name in self.study.pretrained():
            settings["weights"] = str(self._from_home(settings["weights"]))
        return build_backbone(BackboneSpec(name, **settings))

    def _from_home(self, path):
        """A path of the config, seen from here."""
        return self.folder.resolve().parents[1] / path

"""What a study is made of: splits of data sets, sweeps of SAEs, and the SAEs themselves."""

from dataclasses import dataclass

from visae.base.paths import place
from visae.sae.specs import SaeSpec


@dataclass(frozen=True)
class Split:
    """One split of a data set; `name` is `imagenet/val`."""

    dataset: str
    split: str
    shards: int
    kept: tuple[str, ...]
    """The values of `storage` with which its activations are cached."""
    labels: str
    """Which of its images have a class: of `visae.images.layouts.LABELS`."""

    def cached_in(self, storage):
        """Whether its activations are cached at blocks of this `storage`."""
        return storage in self.kept

    @property
    def labelled(self):
        return self.labels != "none"

    @property
    def name(self):
        return f"{self.dataset}/{self.split}"


@dataclass(frozen=True)
class Sweep:
    """A family of SAEs with a grid, on some backbones.

    layers: block by backbone. storage: which activations of these are kept, `full` or `lean`.
    training_jobs: how many jobs train its SAEs, per backbone. metrics: what its SAEs are scored on.
    absent: what they were to be scored on besides → why they are not. published: by backbone, the
    folder or repository that holds a folder for each of its SAEs. folders: by backbone, SAE name →
    its own folder. Both are empty where SAEs are trained. origins: SAE name → sweep of the config,
    which differs from `name` in a group of sweeps (`jobs.trained_together` and others). widths: as
    folders, SAE name → the width of the activations that it takes, by its files.
    """

    name: str
    family: str
    layers: dict
    storage: str
    saes: tuple[SaeSpec, ...]
    training_jobs: int
    metrics: tuple[str, ...]
    absent: dict
    published: dict
    folders: dict
    origins: dict
    widths: dict

    @property
    def imported(self):
        """Whether its SAEs were trained elsewhere."""
        return bool(self.published or self.folders)

    @property
    def backbones(self):
        return tuple(self.layers)

    @property
    def places(self):
        """The place of each backbone's SAEs, as `visae.base.paths` names it."""
        return [place(backbone, layer) for backbone, layer in self.layers.items()]

    def sae_names(self):
        """Folder names of the SAEs, in the order of the grid."""
        return [spec.name for spec in self.saes]


@dataclass(frozen=True)
class Sae:
    """One SAE of the study: its sweep, its backbone and block, and its spec."""

    sweep: str
    backbone: str
    layer: int
    spec: SaeSpec

    @property
    def name(self):
        """Its folder name."""
        return self.spec.name

    @property
    def place(self):
        """Its backbone and block, as `visae.base.paths` names them."""
        return place(self.backbone, self.layer)

    @property
    def full_name(self):
        """How the config names it: `clip/layer11/batchtopk_16x_k192`."""
        return f"{self.place}/{self.name}"

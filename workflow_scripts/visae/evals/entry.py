"""What an entry says of a metric or a downstream task: all that others need to know of it.

An entry is a folder of `evals/`, or of a folder that the config names in `extensions`:

- `entry.py` has `ENTRY`, an `Eval`. It is light: rules, config checks, plan, tables and report
  read it. A change of a field that is `aside` computes no result again;
- `compute.py` has `compute(inputs, settings, job)`, which the job calls;
- `schema.json` says what its result holds (`visae.evals.results`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from visae.base.shelf import ASIDE

METRIC, TASK = "metric", "task"
SAES, RAW = "saes", "raw"
IMAGES, PATCHES = "images", "patches"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an eval reads of one kind of source, and what the job takes.

    reads: names in `visae.evals.reads.READS`. after: evals whose results it reads. gpu: whether it
    asks for one. megabytes: memory, besides the reductions. raw_held: how many times the raw
    reductions among its inputs are held. codes_held: how many times one SAE's pooled codes are.
    minutes: run time, to which come `minutes_per_gigabyte` of pooled codes.
    """

    reads: tuple[str, ...]
    after: tuple[str, ...] = ()
    gpu: bool = False
    megabytes: int = field(metadata=ASIDE, default=6000)
    raw_held: int = field(metadata=ASIDE, default=3)
    codes_held: int = field(metadata=ASIDE, default=0)
    minutes: int = field(metadata=ASIDE, default=120)
    minutes_per_gigabyte: int = field(metadata=ASIDE, default=2)


@dataclass(frozen=True, kw_only=True)
class AsRun:
    """A metric's reading `as_run`: as the public code of the paper computes it (docs/as_run.md)."""

    definition: str
    """What it is, in one sentence; names in braces are filled in from the details."""
    warning: str | None = None
    """Where it is computed on what it was chosen or fitted on, so that it is too favourable."""


@dataclass(frozen=True, kw_only=True)
class Most:
    """What no number of a setting may exceed, where it is known before anything runs."""

    of: str
    """`IMAGES` of each split that is read, or `PATCHES` of an image."""
    beyond: str
    """What would come of a larger number, a clause."""
    for_few: Callable[[int], int] = lambda images: images
    """The number that suits a study of so few images that it is below the default."""


Side = str | Callable[[Mapping[str, float | None]], float | None]
"""A reading, or a function of all readings; the value itself is the reading `headline`."""


@dataclass(frozen=True, kw_only=True)
class Eval:
    """A metric, or a downstream task."""

    kind: str
    """`METRIC` or `TASK`."""
    label: str = field(metadata=ASIDE)
    """Its name in tables and figures."""
    definition: str
    """What the value is, in one sentence; names in braces are filled in from the details."""
    of: Mapping[str, Needs]
    """What it reads of `SAES`, and a task of a backbone's `RAW` features."""
    number: int | None = field(metadata=ASIDE, default=None)
    """Of one of the paper's metrics (7: M7); of one of its tasks, the place in tables."""
    paper: str = field(metadata=ASIDE, default="")
    """Where the paper describes it."""
    higher_is_better: bool = True
    data: str = "evaluation"
    """The splits that it reads: a name in `visae.evals.reads.DATA`."""
    labels: bool = field(metadata=ASIDE, default=False)
    """Whether it reads the classes of these images: where they have none it is not computed."""
    each: bool = False
    """Whether every data set of `data` is an eval of its own, `{name}_{data set}`."""
    by_default: bool = field(metadata=ASIDE, default=False)
    """Whether a task is done unless the config says otherwise; the paper's metrics always are."""
    settings: Mapping[str, dict] = field(metadata=ASIDE, default_factory=dict)
    """Setting → JSON schema with description and, unless it must be given, default."""
    most: Mapping[str, Most] = field(metadata=ASIDE, default_factory=dict)
    """Setting of a metric → what its number, or each number in its list, may be at most."""
    signed_codes: bool = False
    """Whether a metric is defined where codes may be negative (`visae.evals.signed`)."""
    protocol: Callable[[dict, dict], str] = field(
        metadata=ASIDE, default=lambda config, settings: ""
    )
    """How it is computed, for Table 2: a function of the checked config and of the settings."""
    as_run: AsRun | None = None
    """The definition of a metric's reading `as_run`, which its results then have."""
    switches: Mapping[str, tuple[Side, Side]] = field(metadata=ASIDE, default_factory=dict)
    """What the paper's public code has otherwise, a clause → (as the paper writes, as it was run).

    The two sides are of one SAE and differ in that alone (`tables/as_run_table`)."""
    arrays: bool = False
    """Whether it writes arrays beside the result."""
    work: Callable | None = field(metadata=ASIDE, default=None)
    """Its probes of one SAE, for the plan: called with `visae.plan.probes.Probes` and settings."""
    variants: Mapping[str, Needs] = field(default_factory=dict)
    """Computed once more for the main sweep: subfolder of the result → what that reads."""

    @property
    def in_paper(self):
        """Whether it is one of the paper's."""
        return self.number is not None

    @property
    def title(self):
        """The label, with its number if it is one of the paper's metrics."""
        return f"M{self.number} {self.label}" if self.kind == METRIC and self.number else self.label

    @property
    def required(self):
        """The settings without a default."""
        return [name for name, schema in self.settings.items() if "default" not in schema]


def defaults(settings):
    """{setting: default} of those that have one."""
    return {name: schema["default"] for name, schema in settings.items() if "default" in schema}


def listed(values):
    """Numbers, for a protocol."""
    return ", ".join(f"{value:g}" for value in values)

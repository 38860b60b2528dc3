"""The metrics and downstream tasks that there are: `EVALS`, and small questions to all of them."""

from visae.base.errors import UserError
from visae.base.shelf import Shelf
from visae.evals.entry import METRIC, TASK

EVALS = Shelf("visae.evals", "metric or task")


def metrics():
    """Names of all metrics, in the order of their numbers (M1 … M7), then by name."""
    return _of_kind(METRIC)


def tasks():
    """Names of all tasks, the paper's first."""
    return _of_kind(TASK)


def paper_metrics():
    """Names of the paper's seven metrics."""
    return [name for name in metrics() if EVALS[name].in_paper]


def titles(names):
    """{metric or task: its title} of some: what tables, figures and the report call them."""
    return {name: EVALS[name].title for name in names}


def null_results(absent):
    """{metric: what stands in the place of its result}: null, with the reason (name → reason).

    All that is said of it in tables, so that a rule can pass it on.
    """
    return {
        name: {
            "metric": name,
            "value": None,
            "reason": reason,
            "readings": {},
            "definition": EVALS[name].definition.format_map(_Named()),
            "higher_is_better": EVALS[name].higher_is_better,
        }
        for name, reason in absent.items()
    }


class _Named(dict):
    """Details that nothing computed, by their names."""

    def __missing__(self, name):
        return name


def titles_by_reason(absent):
    """[(titles, reason), …] of evals that are not computed (name → reason), grouped by reason."""
    found = {}
    for name, reason in absent.items():
        found.setdefault(reason, []).append(title_of(name))
    return [(", ".join(names), reason) for reason, names in found.items()]


def title_of(name):
    """The title of an eval, with its data set where there is one for each."""
    dataset, title = dataset_of(name), EVALS[entry_name(name)].title
    return f"{title} of {dataset}" if dataset else title


def lower_is_better(metric):
    """Whether low values of `metric` are good."""
    return not EVALS[metric].higher_is_better


def entry_name(name):
    """The entry of an eval: `classification` of `classification_cub`; UserError if there is none.

    Its data set is what follows, see `dataset_of`.
    """
    if name in EVALS:
        return name
    for entry in sorted(EVALS, key=len, reverse=True):
        if name.startswith(f"{entry}_") and EVALS[entry].each:
            return entry
    known = [f"{entry}_<data set>" if EVALS[entry].each else entry for entry in EVALS]
    raise UserError(f"there is no {EVALS.what} {name!r}; there are {', '.join(known)}")


def dataset_of(name):
    """The data set in the name of an eval that there is one of for each; else None."""
    return name.removeprefix(f"{entry_name(name)}_") if name not in EVALS else None


def reads(names, kind, what):
    """Whether any of some evals reads `what` (`visae.evals.reads.READS`) of a kind of source."""
    return any(what in EVALS[entry_name(name)].of[kind].reads for name in names)


def _of_kind(kind):
    entries = {name: EVALS[name] for name in EVALS if EVALS[name].kind == kind}
    return sorted(entries, key=lambda name: (not entries[name].in_paper, entries[name].number or 0,
                                             name))  # fmt: skip

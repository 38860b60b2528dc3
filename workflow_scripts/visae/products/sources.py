"""What products read and depend on, as far as several of them name the same."""

from dataclasses import asdict

from visae.base.paths import RAW, Paths, place
from visae.evals.shelf import titles
from visae.study import roles

PUBLISHED = "resources/published_values.csv"
CLAIMS = "resources/claims.yaml"
SHIPPED = (PUBLISHED, CLAIMS)
"""The inputs that lie in the repository."""


# ---------------------------------------------------------------- what is read


def scores_of(paths, *sweeps):
    """The scores of some sweeps: what is about one sweep waits for no other."""
    return [paths.scores(sweep.name) for sweep in sweeps]


def main_scores(study, paths):
    """The input `scores` of products about the main sweep."""
    return {"scores": scores_of(paths, roles.main(study))}


def downstream(study, paths):
    """The input `downstream`."""
    return {"downstream": paths.table("downstream")}


def scores_and_tasks(study, paths):
    """The inputs of what holds metrics against downstream tasks."""
    return main_scores(study, paths) | downstream(study, paths)


def both_families(study, paths):
    """The input `scores` of what compares two families of SAEs."""
    return {"scores": scores_of(paths, roles.main(study), roles.second_family(study))}


def evidence(study, paths):
    """What claims are judged on (`visae.claims.evidence.read_run`)."""
    found = {"scores": paths.scores(), **tables(paths, "table_4")}
    return found | (downstream(study, paths) if study.tasks() else {})


def tables(paths, *names):
    """Tables as data, each under its own name."""
    return {name: paths.table(name, "json") for name in names}


def raw_reductions(study, paths, backbones):
    """What the evaluation split left of the backbones' own features, by {backbone: layer}."""
    return [paths.reductions(RAW, study.evaluation.name, place(*at)) for at in backbones.items()]


def main_metric(study, paths, metric, suffix="json", variant=""):
    """A metric of every SAE of the main sweep, as far as that is scored on it."""
    sweep = roles.main(study)
    scored = study.saes(sweep) if metric in sweep.metrics else []
    return [paths.metric(sae.name, metric, suffix, sae.place, variant) for sae in scored]


def studies(study):
    """The names of the study and of its replicates."""
    return [study.name, *study.config["replicates"]]


def paths_of_studies(study, paths):
    """Their paths, in the same order. No rule makes the replicates' files."""
    return [paths, *(Paths(f"results/{name}") for name in study.config["replicates"])]


def scores_of_studies(study, paths):
    """The input `scores` of what compares a study with its replicates."""
    return {"scores": [own.scores() for own in paths_of_studies(study, paths)]}


# ---------------------------------------------------------------- what is depended on


def on_main(study):
    """The name of the main sweep."""
    return {"sweep": roles.main(study).name}


def variance_settings(study):
    """What a decomposition of the main sweep's variance depends on."""
    return {**on_main(study), "seed": study.seed}


def labels(study, backbones=None):
    """The backbones' names in figures, of all of them or of some."""
    chosen = study.backbones if backbones is None else backbones
    return {name: study.backbones[name]["label"] for name in chosen}


def metrics(study):
    """What the metrics are called in figures, in their order."""
    return {"metrics": titles(study.metrics())}


def looks(study, backbones=None):
    """How backbones look: all names, which decide the styles, and those that are drawn."""
    chosen = roles.main(study).backbones if backbones is None else backbones
    return {"labels": labels(study), "backbones": list(chosen)}


def families(study):
    """The names of the sweeps of two families."""
    second = roles.existing(roles.second_family(study))
    return {"sweeps": [roles.main(study).name, second.name]}


def evidence_settings(study):
    """Who stands for whom in the paper, and the seed of what is drawn."""
    return {"roles": asdict(roles.Roles.of(study)), "seed": study.seed}


def evaluators(study):
    """Backbone of the main sweep → the backbone in whose space M5 scores it."""
    return {name: study.backbones[name]["evaluator"] for name in roles.main(study).backbones}


# ---------------------------------------------------------------- how many


def counted(number, one):
    """`5 backbones`, `1 backbone`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def over_sweep(sweep, backbones=None):
    """How many SAEs of a sweep, on all of its backbones or on some."""
    among = [b for b in sweep.backbones if backbones is None or b in backbones]
    return (
        f"{counted(len(among) * len(sweep.saes), 'SAE')} of sweep {sweep.name} "
        f"({counted(len(among), 'backbone')} × {counted(len(sweep.saes), 'configuration')})"
    )


def over_main(study):
    """The sentence of figures about the main sweep."""
    return f"n = {over_sweep(roles.main(study))}."


# ---------------------------------------------------------------- whether there is any


def has_early(study):
    """Whether the study repeats the main sweep at an earlier layer."""
    return roles.early(study) is not None


def has_tasks(study):
    """Whether the study does downstream tasks."""
    return bool(study.tasks())


def has_control(study):
    """Whether the study permutes patches."""
    return roles.control(study) is not None


def has_two_families(study):
    """Whether the study compares two families of SAEs."""
    return roles.second_family(study) is not None


def has_pretrained(study):
    """Whether the study pretrains backbones itself."""
    return bool(study.pretrained())


def has_replicates(study):
    """Whether the study is repeated with other seeds of the pretraining."""
    return bool(study.config["replicates"])


def is_judged(study):
    """Whether the paper's claims are judged on the study."""
    return roles.judged(study)


def is_foreseen(study):
    """Whether the study can be held against what was registered before the paper's runs."""
    return is_judged(study) and has_tasks(study)

"""What products read and depend on, as far as several of them name the same."""

from dataclasses import asdict

from visae.base.paths import RAW, Paths, place
from visae.evals.shelf import EVALS, titles
from visae.study import roles
from visae.study.build import tasks

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


def outcomes(study, paths):
    """What was measured of every SAE whose features are edited."""
    return {
        "outcomes": [paths.interventions(sae.name, place=sae.place) for sae in roles.edited(study)]
    }


def cards_of_matches(study, paths):
    """What is known of each two SAEs whose features are matched."""
    return [
        paths.matches(left.full_name, right.full_name, "card.json")
        for left, right in roles.matched(study)
    ]


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


def sweeps_of_own(study):
    """The names of the sweeps of people's own SAEs."""
    return {"own": [sweep.name for sweep in study.sweeps.values() if sweep.folders]}


def variance_settings(study):
    """What a decomposition of the main sweep's variance depends on."""
    return {**on_main(study), "seed": study.seed}


def labels(study, backbones=None):
    """The backbones' names in figures, of all of them or of some."""
    chosen = study.backbones if backbones is None else backbones
    return {name: study.backbones[name]["label"] for name in chosen}


def metrics(study):
    """What the metrics are called in figures, in their order; also those without a value."""
    return {"metrics": titles(study.asked())}


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


# ---------------------------------------------------------------- what a study may lack


def early_layer(study):
    """The main sweep once more at another layer."""
    if roles.early(study) is None:
        return "needs a sweep of the main one's family at another layer"
    return None


def downstream_tasks(study):
    """Any downstream task."""
    if study.tasks():
        return None
    asked = tasks(study.config, study.cross_domain)
    reasons = dict.fromkeys(study.absent[name] for name in asked)
    if not asked:
        return "needs a downstream task, and the config asks for none"
    return f"needs a downstream task, {' or '.join(f'which {reason}' for reason in reasons)}"


def token_order_control(study):
    """A sweep on permuted patches, scored on M1 as its counterpart is."""
    control = roles.control(study)
    if control in (None, roles.main(study)):
        return "needs a sweep on permuted patches beside the main one in raster order"
    return metrics_of("localization")(study, control) or metrics_of("localization")(study)


def second_family(study):
    """Another family of SAEs than the main sweep's."""
    if roles.second_family(study) is None:
        return "needs a sweep of another family of SAEs"
    return None


def edited_saes(study):
    """SAEs whose features can be edited, with something left to run after them."""
    if study.config["interventions"] is None:
        return "needs the section interventions, which the config sets to null"
    if not roles.edited_tasks(study):
        return "needs a data set with labels or masks"
    if not roles.edited(study):
        return (
            "needs an SAE at an earlier block than the last one that is read of its backbone: give "
            "a sweep a layer, or name SAEs in interventions.saes"
        )
    return None


def own_saes(study):
    """SAEs that people have themselves, scored on M2, which says their L0."""
    own = [sweep for sweep in study.sweeps.values() if sweep.folders]
    if not own:
        return "needs a sweep with SAEs of your own (`saes` in the config)"
    if not any("fvu" in sweep.metrics for sweep in own):
        return "needs M2 of your own SAEs, which says their L0: add fvu to the sweep's metrics"
    return None


def same_configuration(study):
    """Several SAEs of one configuration at a place."""
    known = [(sae.place, sae.spec.configuration) for sae in study.saes() if sae.spec.sparsity]
    if len(set(known)) == len(known):
        return "needs several SAEs of one configuration: a sweep with a variant, or with own SAEs"
    return None


def several_recipes(study):
    """One configuration that is trained in several ways."""
    if not roles.recipes(study):
        return "needs two recipes for SAEs of one size and L0 on the same activations"
    return None


def own_pretraining(study):
    """Backbones that the study pretrains itself."""
    return None if study.pretrained() else "needs backbones that the study pretrains itself"


def replicates(study):
    """The study once more, with other seeds of the pretraining."""
    if not study.config["replicates"]:
        return "needs replicates of the study, with other seeds of its pretraining"
    return None


def switches(study):
    """A metric that the paper's public code reads otherwise, or arms with its settings."""
    if study.config["arms"] or any(EVALS[name].switches for name in roles.main(study).metrics):
        return None
    return "needs arms, or a metric of the main sweep that the paper's public code reads otherwise"


def judged_claims(study):
    """The paper's parts, or a config that has its claims judged all the same."""
    if roles.judged(study):
        return None
    return "needs a backbone of each of the paper's five paradigms, or report.claims: always"


def several_backbones(study):
    """What compares backbones needs two in the main sweep."""
    main = roles.main(study)
    if len(main.backbones) > 1:
        return None
    return f"compares backbones, and the sweep '{main.name}' has one"


def matched_saes(study):
    """Two SAEs whose features are matched."""
    if roles.matched(study):
        return None
    if study.config["matches"] is None or study.config["matches"]["pairs"] == []:
        return "needs two SAEs whose features are matched, and the config asks for none (matches)"
    return "needs two SAEs on the same images, and the study has one"


def masked_autoencoders(study):
    """Masked autoencoders in the main sweep, and two backbones besides, which are compared."""
    main = roles.main(study)
    masked = masked_backbones(study)
    if masked and len(main.backbones) > len(masked) + 1:
        return None
    return f"needs a masked autoencoder and two other backbones in the sweep '{main.name}'"


def masked_backbones(study):
    """The backbones of the main sweep that were pretrained by masked reconstruction."""
    return [
        name
        for name in roles.main(study).backbones
        if study.backbones[name]["paradigm"] == "masked reconstruction"
    ]


def several_saes(study):
    """What compares expansion factors or sparsities needs two SAEs per backbone."""
    main = roles.main(study)
    if len(main.saes) > 1:
        return None
    return f"compares SAEs of one backbone, and the sweep '{main.name}' has one of each"


def metrics_of(*names):
    """What needs some metrics of every SAE of a sweep, of the main one unless another is given."""

    def lacking(study, sweep=None):
        sweep = sweep or roles.main(study)
        for name in names:
            if name not in sweep.metrics:
                why = sweep.absent.get(name)
                title = EVALS[name].title
                return (
                    f"needs {title}, which {why}"
                    if why
                    else (f"needs {title}, on which the sweep '{sweep.name}' is not scored")
                )
        return None

    return lacking

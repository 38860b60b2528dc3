"""Tables 1 and 2: the settings of the study that ran, from its checked config."""

from visae.evals.absorption import compute as absorption
from visae.evals.cross_domain import compute as cross_domain
from visae.evals.preservation import compute as preservation
from visae.evals.sparse_probing import compute as sparse_probing
from visae.sae.families import FAMILIES
from visae.tables.layout import Column, Table
from visae.tables.scores import METRIC_LABELS


def table_1(config, sweep, widths):
    """SAE training settings of one sweep.

    `config` is checked (`study.config.checked`), `sweep` a name in it, and `widths` maps each of
    the sweep's backbones to its activation width D.
    """
    entry, training = config["sweeps"][sweep], config["training"]
    backbones = entry.get("backbones", list(config["backbones"]))
    layers = [entry.get("layer", config["backbones"][name]["layer"]) for name in backbones]
    expansions = entry["grid"]["expansion_factor"]
    inputs = sorted({widths[name] for name in backbones})
    family = FAMILIES[entry["family"]]
    held_out = f"{training['dataset']}/{training['threshold_split']}"
    values = {
        "SAE family": family.label,
        "backbones": ", ".join(config["backbones"][name]["label"] for name in backbones),
        "block, counted from 0": _listed(sorted(set(layers))),
        "input dimension D": _listed(inputs),
        "expansion factors": _listed(expansions),
        "dictionary sizes F": _listed(sorted({f * d for f in expansions for d in inputs})),
        family.sparsity.label: _listed(entry["grid"][family.sparsity.key]),
        **({"recipe": entry["recipe"]} if "recipe" in entry else {}),
        "training activations": (
            f"patch tokens of {training['dataset']}/{training['split']}, shuffled within windows "
            f"of {training['window_images']} images"
        ),
        "activation normalisation": (
            "mean subtracted per dimension, divided by one scalar standard deviation, both of "
            "the training activations"
        ),
        "optimizer": "Adam",
        "learning rate": f"{training['learning_rate']:g}, constant",
        "largest gradient norm": f"{training['gradient_clip']:g}",
        "batch size": f"{training['batch_size']} patch tokens",
        "epochs": str(training["epochs"]),
        "seed": str(config["seed"]),
        "precision": f"{training['precision']} on CUDA, float32 on CPU",
        "inference threshold": family.threshold.sentence.format(
            images=training["threshold_images"], split=held_out
        ),
    }
    return Table(
        f"Table 1: how the SAEs of sweep {sweep} are trained",
        (Column("setting", "Setting"), Column("value", "Value")),
        [{"setting": setting, "value": value} for setting, value in values.items()],
        ("From the config of this run, defaults included.",),
    )


def table_2(config):
    """What each metric computes, with the settings of a checked config."""
    metrics, evaluation = config["metrics"], config["evaluation"]
    held_out = f"{100 * evaluation['test_fraction']:g} %"
    localization, monosemantic = metrics["localization"], metrics["monosemanticity"]
    domains = metrics["cross_domain"]["datasets"]
    first, *others = localization["minimum_active"]
    protocols = {
        "localization": (
            f"8 neighbours; on an image at least {first} active patches (also {_listed(others)}; "
            f"also 4 neighbours) and variance above {localization['variance_floor']:g}; at least "
            f"{localization['minimum_images']} such images per feature"
        ),
        "fvu": "over all patch tokens; with mean L0, dead and dense features",
        "preservation": (
            f"maxima over patches; stratified split, {held_out} held out, seed {config['seed']}; "
            f"multinomial logistic regression (lbfgs, C = 1, at most {preservation.MAX_ITER} "
            "iterations) fitted on raw features"
        ),
        "sparse_probing": (
            f"same split; features ranked by ANOVA F on the training part; "
            f"{_listed(metrics['sparse_probing']['budgets'])} features, of which "
            f"{sparse_probing.HEADLINE_BUDGET} are the score; logistic regression (lbfgs, C = 1, "
            f"at most {sparse_probing.MAX_ITER} iterations)"
        ),
        "monosemanticity": (
            f"top {monosemantic['top_images']} images of up to {monosemantic['features']} live "
            "features; weighted mean pairwise cosine in another backbone's space (Table 5); "
            f"baseline of {monosemantic['baseline_groups']} random groups"
        ),
        "cross_domain": (
            f"{', '.join(domains)} ({metrics['cross_domain']['headline']} is the score); matched "
            f"probes on raw features, reconstructions and codes (at most {cross_domain.MAX_ITER} "
            f"iterations); codes also with {cross_domain.BUDGET} features"
            if domains
            else "not computed: no out-of-domain data set"
        ),
        "absorption": (
            "class against siblings, at least 3 classes per group; F1 on held-out images below "
            f"{metrics['absorption']['alpha']:g} with 1 feature and above "
            f"{metrics['absorption']['beta']:g} with 4; sweep over "
            f"{_listed(absorption.ALPHAS)} × {_listed(absorption.BETAS)}"
        ),
    }
    return Table(
        f"Table 2: how the metrics are computed, on {evaluation['dataset']}/{evaluation['split']}",
        (Column("metric", "Metric"), Column("protocol", "Protocol")),
        [{"metric": METRIC_LABELS[metric], "protocol": text} for metric, text in protocols.items()],
        ("From the config of this run, defaults included.",),
    )


def _listed(values):
    return ", ".join(f"{value:g}" for value in values)

"""Tables 1 and 2: the settings of the study that ran, from its checked config."""

from visae.evals.entry import listed
from visae.sae.choices import in_words
from visae.sae.families import FAMILIES
from visae.sae.specs import SOME_HAVE
from visae.tables.layout import Column, Table


def table_1(config, sweep, trained, widths, layers, saes):
    """SAE training settings of one sweep.

    config: checked (`study.config.checked`). sweep: a name in it. trained: whether its SAEs were
    trained here. widths, layers: D and the block by backbone. saes: SaeSpecs.
    """
    inputs = sorted(set(widths.values()))
    family = FAMILIES[saes[0].family]
    sparsities = dict.fromkeys(sae.sparsity for sae in saes if sae.sparsity is not None)
    values = {
        "SAE family": family.label,
        "backbones": ", ".join(config["backbones"][name]["label"] for name in layers),
        "block, counted from 0": listed(sorted(set(layers.values()))),
        "input dimension D": listed(inputs),
        "expansion factors": listed(dict.fromkeys(sae.expansion_factor for sae in saes)),
        "dictionary sizes F": listed(sorted({sae.features(d) for sae in saes for d in inputs})),
        family.sparsity.label: listed(sparsities) or "in no file",
        **(_training(config, sweep, family) if trained else {"training": "not here"}),
    }
    return Table(
        f"Table 1: how the SAEs of sweep {sweep} are trained",
        (Column("setting", "Setting"), Column("value", "Value")),
        [{"setting": setting, "value": value} for setting, value in values.items()],
        ("From the config of this run, defaults included.",),
    )


def _training(config, sweep, family):
    """The settings of the training itself."""
    entry = config["sweeps"][sweep]
    own = entry.get("training", {})
    training = config["training"] | own
    held_out = f"{training['dataset']}/{training['threshold_split']}"
    return {
        **({"recipe": entry["recipe"]} if "recipe" in entry else {}),
        **{
            name.replace("_", " "): in_words({name: own[name]}, named=False)
            for name in _MORE
            if name in own
        },
        "training activations": (
            f"patch tokens of {training['dataset']}/{training['split']}, shuffled within "
            + _windows(training)
        ),
        "activation normalisation": (
            "mean subtracted per dimension, divided by one scalar standard deviation, both of "
            "the training activations"
        ),
        "optimizer": "Adam",
        "learning rate": f"{training['learning_rate']:g}, {_schedule(own)}",
        "loss": f"squared errors, {training['loss']} over dimensions and mean over tokens",
        "largest gradient norm": (
            "none" if training["gradient_clip"] is None else f"{training['gradient_clip']:g}"
        ),
        "batch size": f"{training['batch_size']} patch tokens",
        "epochs": str(training["epochs"]),
        "seed": str(own.get("seed", config["seed"])),
        "precision": f"{training['precision']} on CUDA, float32 on CPU",
        "inference threshold": _threshold(family, training).format(
            images=training["threshold_images"], split=held_out
        ),
    }


_MORE = ("adam_beta1", "encoder_from_decoder", "decoder_bias", "decoder_gradient", *SOME_HAVE)
"""Settings of which the paper's recipe has nothing to say."""


def _schedule(own):
    return in_words({"schedule": own.get("schedule", {})}, named=False)


def _windows(training):
    """What is shuffled together."""
    if training["ragged_images"] is None:
        return f"windows of {training['window_images']} images"
    return (
        f"shards of {training['ragged_images']} images, whose last batch is smaller and keeps as "
        "many codes as a whole one"
    )


def _threshold(family, training):
    """How thresholds come about; to be formatted with `images` and `split`."""
    if not family.threshold.measured or training["threshold_rule"] == "quantile":
        return family.threshold.sentence
    return (
        f"mean, over batches of {training['batch_size']} tokens, of the smallest kept code, on "
        "{images} images of {split}"
    )


def table_2(protocols, split):
    """What each metric computes.

    protocols: {title of a metric: how it is computed}. split: on which images, `imagenet/val`.
    """
    return Table(
        f"Table 2: how the metrics are computed, on {split}",
        (Column("metric", "Metric"), Column("protocol", "Protocol")),
        [{"metric": title, "protocol": protocol} for title, protocol in protocols.items()],
        ("From the config of this run, defaults included.",),
    )

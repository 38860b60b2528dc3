"""sae-lens (6.54.12; its `saes/sae.py` and `saes/*_sae.py`): `cfg.json`, `sae_weights.safetensors`.

b_dec is subtracted iff `apply_b_dec_to_input`, after any normalisation. BatchTopK and Matryoshka
are saved as `jumprelu` with equal thresholds; their true name is in `metadata`.
"""

from visae.sae.exchange import fold
from visae.sae.exchange.form import ForeignSae, site_of_hook, whole

# `normalize_activations` → (per-token normalisation, whether raw activations go in). The library
# does nothing at inference for the last two: their factor is in no file of the SAE.
_NORMALISATIONS = {
    "none": ("none", "raw"),
    "layer_norm": ("layer_norm", "raw"),
    "constant_norm_rescale": ("constant_norm", "raw"),
    "expected_average_only_in": ("none", None),
    "covariance_whitening": ("none", None),
}
_BATCHTOPK = ("batchtopk", "matryoshka_batchtopk")


def recognises(folder):
    config = folder.config
    named = folder.holds("W_enc", "W_dec", "b_dec") and folder.config_class is None
    return named and "d_sae" in config and "d_in" in config


def read(folder, reading):
    config, path = folder.config, folder.config_path
    architecture = _architecture(config)
    normalisation = config.get("normalize_activations", "none")
    if isinstance(normalisation, bool):
        normalisation = "expected_average_only_in" if normalisation else "none"
    if normalisation not in _NORMALISATIONS:
        folder.refuse(
            f"normalises by {normalisation!r}", f"only {', '.join(_NORMALISATIONS)} can be read"
        )
    if config.get("reshape_activations", "none") != "none":
        folder.refuse(
            f"reshapes activations ({config['reshape_activations']})",
            "it is of attention heads, and not of a block's output; name another SAE",
        )
    encoder, decoder, b_dec = folder.matrix("W_enc").T, folder.matrix("W_dec"), folder.take("b_dec")
    rule = _rule(folder, architecture, encoder, decoder)
    per_token, raw = _NORMALISATIONS[normalisation]
    metadata = config.get("metadata") or {}
    hook = metadata.get("hook_name") or config.get("hook_name") or config.get("hook_point")
    return ForeignSae(
        **{"encoder": encoder, "decoder": decoder} | rule,
        pre_bias=b_dec if config.get("apply_b_dec_to_input", True) else None,
        decoder_bias=b_dec,
        input_normalisation=per_token,
        input=raw,
        features=whole(config["d_sae"], "d_sae", path),
        width=whole(config["d_in"], "d_in", path),
        site=site_of_hook(hook),
    )


def _architecture(config):
    """The architecture by the config; in those before version 6 TopK is an activation function."""
    architecture = config.get("architecture", "standard")
    topk = str(config.get("activation_fn_str", config.get("activation_fn"))) == "topk"
    return "topk" if architecture == "standard" and topk else architecture


def _rule(folder, architecture, encoder, decoder):
    """Fields of the ForeignSae that depend on the architecture."""
    config, path = folder.config, folder.config_path
    if architecture == "gated":
        gate = (folder.take(name) for name in ("b_gate", "b_mag", "r_mag"))
        return {"family": "gated", **fold.gated(encoder, *gate)}
    bias = folder.take("b_enc")
    if architecture == "standard":
        return {"family": "relu", "encoder_bias": bias}
    if architecture == "jumprelu":
        trained = (config.get("metadata") or {}).get("training_architecture")
        threshold = {"threshold": folder.take("threshold"), "strict": True, "encoder_bias": bias}
        if trained not in _BATCHTOPK:
            return {"family": "jumprelu", **threshold}
        details = config["metadata"].get("training_architecture_details") or {}
        k = whole(details["k"], "k", path) if "k" in details else None
        return {"family": "batchtopk", "k": k, **threshold}
    if architecture not in ("topk", "abstopk", *_BATCHTOPK):
        folder.refuse(
            f"has the architecture {architecture!r} of sae-lens",
            "it is no autoencoder with a linear encoder that can be read; name another SAE",
        )
    if config.get("rescale_acts_by_decoder_norm", False):
        encoder, bias, decoder = fold.scaled_by_decoder_norms(encoder, bias, decoder)
    k = config.get("k", (config.get("activation_fn_kwargs") or {}).get("k"))
    rule = {"k": whole(k, "k", path), "encoder": encoder, "encoder_bias": bias, "decoder": decoder}
    if architecture in _BATCHTOPK:
        folder.drop("topk_threshold")  # which the training class does not use: it sees the batch
        return {"family": "batchtopk", "measured": True, **rule}
    return {"family": "topk", "activation": _SELECTION[architecture], **rule}


_SELECTION = {"topk": "topk", "abstopk": "abs_topk"}

"""ViT-Prisma (aa5ff6a; its `sae/sae.py`, `sae/config.py`): `weights.pt` beside `config.json`.

Layer norm per token is the default where `normalize_activations` is missing.
"""

from visae.sae.exchange import fold
from visae.sae.exchange.form import ForeignSae, Site, whole
from visae.sae.exchange.libraries.vit_prisma.entry import ENTRY

_NORMALISATIONS = {
    None: "none",
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm",
}


def recognises(folder):
    named = folder.holds("W_enc", "W_dec", "b_dec")
    own = folder.config_class in ENTRY.config_classes
    return named and (own or "hook_point_layer" in folder.config)


def read(folder, reading):
    config, path = folder.config, folder.config_path or folder.weights
    if config.get("is_transcoder"):
        folder.refuse("is a transcoder", "it predicts other activations than it reads; name an SAE")
    normalisation = config.get("normalize_activations", "layer_norm")
    if normalisation not in _NORMALISATIONS:
        folder.refuse(
            f"normalises by {normalisation!r}",
            f"only {', '.join(str(name) for name in _NORMALISATIONS)} can be read",
        )
    encoder, bias = folder.matrix("W_enc").T, folder.take("b_dec")
    width = config.get("d_in")
    factor = config.get("expansion_factor")
    tokens = "patches" if config.get("use_patches_only") else "all"
    return ForeignSae(
        **{"encoder": encoder} | _rule(folder, encoder, path),
        decoder=folder.matrix("W_dec"),
        pre_bias=bias,
        decoder_bias=bias,
        input_normalisation=_NORMALISATIONS[normalisation],
        features=int(width * factor) if width and factor else None,
        width=width,
        # `cached_activations_path` often names another layer, and is not used.
        site=Site(
            config.get("hook_point_layer"),
            config.get("layer_subtype", "ln2.hook_normalized"),
            "class" if config.get("cls_token_only") else tokens,
        ),
    )


def _rule(folder, encoder, path):
    config = folder.config
    architecture = config.get("architecture", "standard")
    if architecture == "gated":
        folder.drop("b_enc")  # which its encoder does not use
        gate = (folder.take(name) for name in ("b_gate", "b_mag", "r_mag"))
        return {"family": "gated", **fold.gated(encoder, *gate)}
    activation = config.get("activation_fn_str", "relu")
    if architecture != "standard" or activation not in ("relu", "topk"):
        folder.refuse(
            f"has the architecture {architecture!r} and the activation {activation!r}",
            "only standard (relu, topk) and gated can be read",
        )
    bias = folder.take("b_enc")
    if activation == "relu":
        return {"family": "relu", "encoder_bias": bias}
    k = (config.get("activation_fn_kwargs") or {}).get("k")
    return {
        "family": "topk",
        "encoder_bias": bias,
        "activation": "topk",
        "k": whole(k, "activation_fn_kwargs.k", path),
    }

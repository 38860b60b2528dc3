"""bartbussmann/BatchTopK (b9aab1c): `sae.pt` and `config.json` with `act_size` and `sae_type`.

`input_unit_norm`, on by default, is layer norm per token. b_enc is in every file, and unused by
topk and batchtopk. batchtopk has no threshold: its codes depend on the batch.
"""

from typing import Any

import torch

from visae.sae.exchange.form import ForeignSae, Site, whole


def recognises(folder):
    named = folder.holds("W_enc", "b_enc", "W_dec", "b_dec")
    return named and "act_size" in folder.config and "sae_type" in folder.config


def read(folder, reading):
    config, path = folder.config, folder.config_path
    kind, bias, b_dec = config.get("sae_type"), folder.take("b_enc"), folder.take("b_dec")
    if kind not in ("vanilla", "topk", "batchtopk", "jumprelu"):
        folder.refuse(
            f"has the sae_type {kind!r}", "only vanilla, topk, batchtopk and jumprelu can be read"
        )
    rule: dict[str, Any] = {"family": "relu" if kind == "vanilla" else kind}
    if kind == "jumprelu":
        rule |= {"threshold": folder.take("jumprelu.log_threshold").exp(), "strict": True}
    elif kind in ("topk", "batchtopk"):
        bias = torch.zeros_like(bias)
        rule["k"] = whole(folder.state("top_k"), "top_k", path)
        rule |= {"activation": "topk"} if kind == "topk" else {"measured": True}
    layer = config.get("layer")
    return ForeignSae(
        **rule,
        encoder=folder.matrix("W_enc").T,
        encoder_bias=bias,
        decoder=folder.matrix("W_dec"),
        pre_bias=None if kind == "jumprelu" else b_dec,
        decoder_bias=b_dec,
        input_normalisation="layer_norm" if config.get("input_unit_norm", True) else "none",
        features=config.get("dict_size"),
        width=config.get("act_size"),
        site=Site(layer if isinstance(layer, int) else None, config.get("site")),
    )

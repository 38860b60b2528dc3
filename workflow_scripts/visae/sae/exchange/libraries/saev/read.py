"""saev (its `nn.py`, `nn/modeling.py`): one file `sae.pt`, whose first line is JSON.

A header without `schema` is that of 0.1.0, which wrote the published CLIP, DINOv2 and BioCLIP
SAEs: b_dec is subtracted. With `schema` (3d73f1f) it is not, and TopK keeps negative codes.
"""

from typing import Any

from visae.sae.exchange.folder import Folder
from visae.sae.exchange.form import ForeignSae, whole


def recognises(folder):
    header = folder.header
    return isinstance(header, dict) and ("schema" in header or "d_vit" in header)


def read(folder, reading):
    header = folder.header or {}
    legacy = "schema" not in header
    config = header if legacy else header.get("cfg") or {}
    activation = {"cls": "Relu"} if legacy else config.get("activation") or {}
    bias = folder.take("b_dec")
    rule = _rule(folder, activation.get("cls"), activation.get("params") or {})
    width = config.get("d_model") or config.get("d_vit")
    return ForeignSae(
        **rule,
        encoder=folder.matrix("W_enc").T,
        encoder_bias=folder.take("b_enc"),
        decoder=folder.matrix("W_dec"),
        pre_bias=bias if legacy else None,
        decoder_bias=bias,
        # Mean and scale are estimated when the data set is opened, and are in no checkpoint.
        input=None,
        features=config.get("d_sae") or (width and width * config.get("exp_factor", 0)) or None,
        width=width,
    )


def _rule(folder: Folder, name, params) -> dict[str, Any]:
    if name == "Relu":
        return {"family": "relu"}
    if name == "TopK":
        k = whole(params.get("top_k"), "top_k", folder.weights)
        return {"family": "topk", "activation": "signed_topk", "k": k}
    if name == "BatchTopK":
        threshold = folder.take("activation.threshold")
        measured = bool(
            threshold.numel() == 1 and threshold <= 0
        )  # a plain ReLU, as before training
        return {
            "family": "batchtopk",
            "k": whole(params.get("top_k"), "top_k", folder.weights),
            "threshold": None if measured else threshold,
            "strict": not measured,
            "measured": measured,
        }
    folder.refuse(f"has the activation {name!r}", "only Relu, TopK and BatchTopK can be read")

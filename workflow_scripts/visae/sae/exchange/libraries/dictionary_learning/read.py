"""dictionary-learning (0.1.0; its `dictionary.py`): `ae.pt`, `config.json` with `dict_class`.

Whether the decoder's bias is subtracted depends on the class. AutoEncoderNew is called
AutoEncoder in the config, and told by its tensor `decoder.bias`.
"""

import torch

from visae.sae.exchange import fold
from visae.sae.exchange.folder import Folder
from visae.sae.exchange.form import ForeignSae, Site, whole


def recognises(folder):
    trainer = folder.config.get("trainer")
    return isinstance(trainer, dict) and str(trainer.get("dict_class")) in _READERS


def read(folder: Folder, reading):
    trainer = folder.config.get("trainer") or {}
    name = trainer.get("dict_class")
    if name not in _READERS:
        folder.refuse(f"has the class {name!r}", f"only {', '.join(_READERS)} can be read")
    fields = _READERS[name](folder, trainer, reading)
    return ForeignSae(
        **fields,
        features=trainer.get("dict_size"),
        width=trainer.get("activation_dim"),
        site=_site(trainer),
    )


def _site(trainer):
    layer = trainer.get("layer")
    point = trainer.get("submodule_name") or None
    return Site(layer if isinstance(layer, int) else None, point)


def _linear(folder):
    """Encoder and decoder of torch.nn.Linear, which stores the decoder as [D, F]."""
    return {
        "encoder": folder.matrix("encoder.weight"),
        "encoder_bias": folder.take("encoder.bias"),
        "decoder": folder.matrix("decoder.weight").T,
    }


def _plain(folder):
    """Encoder [D, F] and decoder [F, D] as parameters of their own."""
    return {
        "encoder": folder.matrix("W_enc").T,
        "encoder_bias": folder.take("b_enc"),
        "decoder": folder.matrix("W_dec"),
    }


def _k(folder, trainer):
    """K, which the config and the weights both state."""
    stated, held = trainer.get("k"), folder.take_any("k")
    values = [whole(v, "k", folder.path) for v in (stated, held) if v is not None]
    if not values or len(set(values)) == 2:
        folder.refuse(
            f"states K {stated} in its config and {values[-1] if held is not None else None} in "
            "its weights",
            "correct one of them",
        )
    return values[0]


def _autoencoder(folder, trainer, reading):
    if folder.holds("decoder.bias"):
        return {"family": "relu", **_linear(folder), "decoder_bias": folder.take("decoder.bias")}
    bias, weights = folder.take("bias"), _linear(folder)
    if reading.normalize_decoder:
        scaled = fold.scaled_by_decoder_norms(*weights.values())
        weights = dict(zip(weights, scaled, strict=True))
    return {"family": "relu", **weights, "pre_bias": bias, "decoder_bias": bias}


def _gated(folder, trainer, reading):
    encoder, bias = folder.matrix("encoder.weight"), folder.take("decoder_bias")
    gate = (folder.take(name) for name in ("gate_bias", "mag_bias", "r_mag"))
    return {
        "family": "gated",
        **fold.gated(encoder, *gate),
        "decoder": folder.matrix("decoder.weight").T,
        "pre_bias": bias,
        "decoder_bias": bias,
    }


def _jumprelu(folder, trainer, reading):
    return {
        "family": "jumprelu",
        **_plain(folder),
        "decoder_bias": folder.take("b_dec"),
        "threshold": folder.take("threshold"),
        "strict": True,
    }


def _topk(folder, trainer, reading):
    bias = folder.take("b_dec")
    folder.drop("threshold")  # encode() keeps K per token unless it is told otherwise
    return {
        "family": "topk",
        **_linear(folder),
        "activation": "topk",
        "k": _k(folder, trainer),
        "pre_bias": bias,
        "decoder_bias": bias,
    }


def _batchtopk(weights):
    def read_batchtopk(folder, trainer, reading):
        bias, threshold = folder.take("b_dec"), folder.take_any("threshold")
        folder.drop("group_sizes")
        if threshold is not None and threshold == torch.tensor(-1.0):
            threshold = None  # saved before it was measured: a plain ReLU, says the library
        return {
            "family": "batchtopk",
            **weights(folder),
            "k": _k(folder, trainer),
            "threshold": threshold,
            "strict": threshold is not None,
            "measured": threshold is None,
            "pre_bias": bias,
            "decoder_bias": bias,
        }

    return read_batchtopk


_READERS = {
    "AutoEncoder": _autoencoder,
    "AutoEncoderNew": _autoencoder,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jumprelu,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batchtopk(_linear),
    "MatryoshkaBatchTopKSAE": _batchtopk(_plain),
}

matryoshka = _READERS["MatryoshkaBatchTopKSAE"]

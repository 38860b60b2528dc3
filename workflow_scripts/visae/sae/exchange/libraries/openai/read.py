"""openai/sparse_autoencoder (4965b94): one state dict, with the activation's name among tensors.

Layer norm per token is on iff the activation is TopK; no file says so.
"""

from typing import Any

from visae.sae.exchange.form import ForeignSae, whole


def recognises(folder):
    return folder.holds("pre_bias", "latent_bias", "encoder.weight", "decoder.weight")


def read(folder, reading):
    name, bias = folder.values.get("activation"), folder.take("pre_bias")
    folder.drop("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
    if name == "ReLU":
        rule: dict[str, Any] = {"family": "relu"}
    elif name == "TopK":
        after = folder.values.get("activation_state_dict/postact_fn", "ReLU")
        if after not in _SELECTIONS:
            folder.refuse(
                f"has TopK followed by {after}", f"only {', '.join(_SELECTIONS)} are read"
            )
        rule = {
            "family": "topk",
            "activation": _SELECTIONS[after],
            "k": whole(folder.values.get("activation_state_dict/k"), "k", folder.weights),
            "input_normalisation": "layer_norm",
        }
    else:
        folder.refuse(f"has the activation {name!r}", "only ReLU and TopK can be read")
    return ForeignSae(
        **rule,
        encoder=folder.matrix("encoder.weight"),
        encoder_bias=folder.take("latent_bias"),
        decoder=folder.matrix("decoder.weight").T,
        pre_bias=bias,
        decoder_bias=bias,
    )


_SELECTIONS = {"ReLU": "topk", "Identity": "signed_topk"}

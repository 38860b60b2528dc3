"""eai-sparsify (1.3.3; its `sparse_coder.py`, `fused_encoder.py`): `cfg.json`, `sae.safetensors`.

b_dec is subtracted; ReLU, then the K largest of each token, or one winner of each of K groups.
"""

from visae.sae.exchange.form import ForeignSae, whole

_SELECTIONS = {"topk": "topk", "groupmax": "group_max"}


def recognises(folder):
    return "num_latents" in folder.config and folder.holds("encoder.weight", "W_dec", "b_dec")


def read(folder, reading):
    config, path = folder.config, folder.config_path
    if config.get("transcode"):
        folder.refuse("is a transcoder", "it predicts other activations than it reads; name an SAE")
    if config.get("skip_connection") or folder.holds("W_skip"):
        folder.refuse(
            "has a skip connection",
            "its reconstruction is not of its codes alone; name another SAE",
        )
    activation = config.get("activation", "topk")
    if activation not in _SELECTIONS or config.get("signed"):
        folder.refuse(
            f"has the activation {'signed ' if config.get('signed') else ''}{activation}",
            f"only {', '.join(_SELECTIONS)} can be read",
        )
    bias, width = folder.take("b_dec"), whole(folder.state("d_in"), "d_in", path)
    # `expansion_factor` is 32 by default, also where `num_latents` says otherwise.
    features = config["num_latents"] or width * folder.state("expansion_factor")
    return ForeignSae(
        family="topk",
        encoder=folder.matrix("encoder.weight"),
        encoder_bias=folder.take("encoder.bias"),
        decoder=folder.matrix("W_dec"),
        pre_bias=bias,
        decoder_bias=bias,
        activation=_SELECTIONS[activation],
        k=whole(folder.state("k"), "k", path),
        features=features,
        width=width,
    )

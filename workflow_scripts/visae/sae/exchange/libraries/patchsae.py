"""PatchSAE (763eceb): a pickle of {"cfg", "state_dict"}, and no config file; ReLU."""

from visae.sae.exchange.form import ForeignSae, Library, Site

_CONFIG = "src.sae_training.config.ViTSAERunnerConfig"


def recognises(folder):
    return folder.config_class == _CONFIG and folder.holds("W_enc", "b_enc", "W_dec", "b_dec")


def read(folder, reading):
    config, bias = folder.config, folder.take("b_dec")
    if config.get("gated_sae"):
        folder.refuse("is a gated SAE of PatchSAE", "only its ReLU SAEs can be read")
    layer = config.get("block_layer")
    return ForeignSae(
        family="relu",
        encoder=folder.matrix("W_enc").T,
        encoder_bias=folder.take("b_enc"),
        decoder=folder.matrix("W_dec"),
        pre_bias=bias,
        decoder_bias=bias,
        width=config.get("d_in"),
        site=Site(
            layer if isinstance(layer, int) and layer >= 0 else None,
            config.get("module_name"),
            "all" if config.get("class_token", True) else "patches",
        ),
    )


ENTRY = Library("PatchSAE", "commit 763eceb", recognises, read, (_CONFIG,))

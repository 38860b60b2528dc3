"""PatchSAE (763eceb): a pickle of {"cfg", "state_dict"}, and no config file; ReLU."""

from visae.sae.exchange.form import ForeignSae, Site
from visae.sae.exchange.libraries.patchsae.entry import ENTRY


def recognises(folder):
    named = folder.holds("W_enc", "b_enc", "W_dec", "b_dec")
    return named and folder.config_class in ENTRY.config_classes


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

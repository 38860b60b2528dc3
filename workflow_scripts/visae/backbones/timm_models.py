"""What a vision transformer of timm says of itself; open_clip builds some towers of them."""

from torch import nn


def after_blocks(model):
    """What `Backbone` needs to know of a timm model beyond its blocks.

    Models that pool their patches have their norm after the pooling.
    """
    norms = [getattr(model, name, None) for name in ("norm", "fc_norm")]
    real = [norm for norm in norms if norm is not None and not isinstance(norm, nn.Identity)]
    return {
        "final_norm": real[0] if real else None,
        "class_token": getattr(model, "cls_token", None) is not None,
    }

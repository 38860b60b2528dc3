"""WolodjaZ/MSAE (c0bf439): recognised, and refused, since its codes pass 30·tanh(code / 30)."""


def recognises(folder):
    return folder.holds("model/encoder", "model/latent_bias", "model/pre_bias")


def read(folder, reading):
    folder.refuse(
        "is of MSAE, whose codes pass a tanh (30·tanh(code / 30) by default)",
        "no linear encoder with a threshold expresses that; name another SAE",
    )

"""Data with a known dictionary, for tests of SAEs."""

import numpy as np
import torch


def dictionary(atoms, width, seed=0):
    """Random unit vectors, float32 [atoms, width]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(atoms, width, generator=generator), dim=1)


def sparse_mixtures(tokens, atoms_ad, active, seed=0, noise=0.02):
    """Tokens [tokens, D]: `active` atoms on average, coefficients in [1, 2], and some noise."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(tokens, len(atoms_ad), generator=generator) < active / len(atoms_ad)
    codes = chosen * (1 + torch.rand(chosen.shape, generator=generator))
    return codes @ atoms_ad + noise * torch.randn(tokens, atoms_ad.shape[1], generator=generator)


def mixture_activations(images, patches, width=8, seed=0, atoms=24, active=3):
    """Activations float16 [images, patches, width] for a cache, with a mean and a scale."""
    tokens = sparse_mixtures(images * patches, dictionary(atoms, width), active, seed)
    return (tokens * 2 + 1).reshape(images, patches, width).numpy().astype(np.float16)

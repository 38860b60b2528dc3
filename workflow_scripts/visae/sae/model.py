"""A trained SAE at inference: one rule for every family."""

from dataclasses import dataclass, fields

import torch

from visae.activations.normalisation import denormalise, normalise


@dataclass
class SparseAutoencoder:
    """x̂ = code(x) · decoder, where x are normalised activations; all tensors float32.

    encoder_weight [F, D], encoder_bias [F], decoder_weight [F, D] (rows of unit L2 norm),
    threshold [] or, per feature, [F], activation_mean [D], activation_std []. The statistics
    are the training cache's and are used for every split and data set.
    """

    encoder_weight: torch.Tensor
    encoder_bias: torch.Tensor
    decoder_weight: torch.Tensor
    threshold: torch.Tensor
    activation_mean: torch.Tensor
    activation_std: torch.Tensor

    @property
    def features(self):
        """F, the size of the dictionary."""
        return self.encoder_weight.shape[0]

    @property
    def width(self):
        """D, the width of the activations."""
        return self.encoder_weight.shape[1]

    def to(self, device):
        """The same SAE with its tensors on `device`."""
        return SparseAutoencoder(*(getattr(self, f.name).to(device) for f in fields(self)))

    def normalise(self, activations):
        """x = (a − mean) / std, float32 [..., D], of activations [..., D] in any float type."""
        return normalise(activations, self.activation_mean, self.activation_std)

    def denormalise(self, reconstruction):
        """â = x̂ · std + mean: activations of normalised x̂ [..., D]."""
        return denormalise(reconstruction, self.activation_mean, self.activation_std)

    def encode(self, normalised):
        """Codes [..., F] of normalised activations [..., D].

        code = pre where pre > 0 and pre ≥ threshold, else 0.
        """
        codes = torch.nn.functional.linear(normalised, self.encoder_weight, self.encoder_bias)
        codes.relu_()
        return codes.masked_fill_(codes < self.threshold, 0)

    def decode(self, codes):
        """Normalised reconstructions x̂ [..., D] of codes [..., F]."""
        return codes @ self.decoder_weight

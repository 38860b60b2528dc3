"""One pass over the activations of a split with all SAEs of a sweep.

Everything that a pass leaves behind is a sum over images, a maximum within an image or a row
per image. Units of a fixed number of images, counted from the first image of the split, are
computed each on its own and joined in order; so neither sharding nor chunks nor the number
of threads changes a bit of the result.

Paper: section 3 (max-pooled image features), sections 4.1 and 4.2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visae.activations.normalisation import check_statistics
from visae.activations.source import Activations
from visae.base.arrays import Float
from visae.base.errors import UserError
from visae.base.pools import Threads
from visae.base.progress import counted
from visae.encoding.encoders import DenseEncoder, SparseEncoder, Targets
from visae.encoding.reductions import SIGNED, WARNINGS, write_sae_reductions
from visae.sae.model import SparseAutoencoder


def encode_activations(
    activations: Activations,
    saes: Mapping[str, SparseAutoencoder],
    outputs: Mapping[str, str | Path],
    *,
    sae_fingerprints: Mapping[str, str],
    statistics: tuple[Float[np.ndarray, " D"], float] | None = None,
    minimum_active: Sequence[int] = (1, 5, 20),
    variance_floor: float = 1e-8,
    device: str | torch.device = "cpu",
    threads: int = 1,
    warnings: Mapping[str, Sequence[str]] | None = None,
    attributes: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Sequence[str | Path]] | None = None,
) -> None:
    """Write the reductions of every SAE from one pass over `activations`.

    activations: open `Activations` of a split, from a cache or straight from images.
    saes, outputs, sae_fingerprints: by name, the `SparseAutoencoder`s, the paths to write and the
        hashes of the weights.
    statistics: mean [D] and std that normalise the study's activations. Errors and reconstructions
        are written in their units, like raw activations. Default: each SAE's own; these differ only
        where an SAE was trained elsewhere.
    minimum_active, variance_floor: which maps are evaluable for Moran's I, see `encoding.moran`;
        without any minimum it is not computed.
    device: `cpu` or `cuda`.
    threads: for the CPU.
    warnings: by name, what speaks against the SAEs, which their scores will say.
    attributes: provenance, written to every file.
    inputs: by name, the files that reductions are made of besides the activations.

    Raises UserError when an SAE does not fit the activations.
    """
    _check_saes(activations, saes)
    encoder_type = SparseEncoder if torch.device(device).type == "cpu" else DenseEncoder
    saes = {name: sae.to(device) for name, sae in saes.items()}
    normalised_by = _shared_statistics(saes)
    conversions = {name: _conversion(sae, statistics) for name, sae in saes.items()}
    targets = {name: _targets(sae, statistics) for name, sae in saes.items()}
    encoders = {
        name: encoder_type(sae, activations.info.grid, minimum_active, variance_floor)
        for name, sae in saes.items()
    }

    def encode(activations_npd):
        activations_npd = torch.from_numpy(activations_npd).to(device)
        owners = set(normalised_by.values())
        x_npd = {owner: saes[owner].normalise(activations_npd) for owner in owners}
        return [
            conversions[name](encoder(x_npd[normalised_by[name]], targets[name](activations_npd)))
            for name, encoder in encoders.items()
        ]

    with contextlib.ExitStack() as stack:
        writers = []
        for name, sae in saes.items():
            identity: dict[str, Any] = {"sae": name, "sae_fingerprint": sae_fingerprints[name]}
            if sae.signed:
                identity[SIGNED] = True
            if said := (warnings or {}).get(name):
                identity[WARNINGS] = json.dumps(said)
            writer = write_sae_reductions(
                outputs[name],
                activations,
                sae.features,
                minimum_active,
                variance_floor,
                {**(attributes or {}), **identity},
                (inputs or {}).get(name, ()),
            )
            writers.append(stack.enter_context(writer))
        workers = threads if encoder_type is SparseEncoder else 1
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        pool = stack.enter_context(Threads(workers, torch.set_num_threads, 1))
        images = counted(
            activations.image_units(encoder_type.unit_images),
            "images encoded",
            activations.images,
            size=len,
        )
        for units in pool.map(encode, ((unit,) for unit in images)):
            for writer, unit in zip(writers, units, strict=True):
                writer.add(unit)


def _shared_statistics(saes):
    """SAE → the first one with the same statistics, so that each normalisation is done once."""
    owners = {}
    for name, sae in saes.items():
        same = (
            other
            for other in dict.fromkeys(owners.values())
            if sae.input_normalisation == saes[other].input_normalisation
            and torch.equal(sae.activation_mean, saes[other].activation_mean)
            and torch.equal(sae.activation_std, saes[other].activation_std)
        )
        owners[name] = next(same, name)
    return owners


def _conversion(sae, statistics):
    """A function that takes an SaeUnit from the SAE's normalised units to those of `statistics`."""
    if statistics is None or sae.input_normalisation != "none":
        return lambda unit: unit
    # In float32, as SAEs carry them and `reduce_raw` uses them: equal ones change nothing at all.
    mean, std = (np.asarray(value, np.float32).astype(np.float64) for value in statistics)
    scale = float(sae.activation_std) / std
    shift = ((sae.activation_mean.double().cpu().numpy() - mean) / std).astype(np.float32)

    def converted(unit):
        return dataclasses.replace(
            unit,
            squared_error=unit.squared_error * scale**2,
            residual_sum=unit.residual_sum * scale,
            # The scale is positive, so that the maxima are those of the same patches.
            reconstructions_max=unit.reconstructions_max * np.float32(scale) + shift,
        )

    return converted


def _targets(sae, statistics):
    """A function from activations to the `Targets` of an SAE with per-token normalisation, or None.

    Results are in the units of `statistics`, or in those of the activations.
    """
    if sae.input_normalisation == "none":
        return lambda activations_npd: None
    mean, std = statistics or (np.zeros(sae.width), 1.0)
    device = sae.activation_mean.device
    mean, std = torch.as_tensor(mean, device=device).float(), float(np.float32(std))

    def targets(activations_npd):
        activations_npd = activations_npd.float()

        def restored(reconstruction_npd):
            return (sae.denormalise(reconstruction_npd, activations_npd) - mean) / std

        return Targets((activations_npd - mean) / std, restored)

    return targets


def _check_saes(activations, saes):
    for name, sae in saes.items():
        if sae.width != activations.info.width:
            raise UserError(
                f"SAE {name} takes activations of width {sae.width}, but {activations.path} holds "
                f"activations of width {activations.info.width}: train the SAE on this backbone"
            )
        mean, std = sae.activation_mean.numpy(), float(sae.activation_std)
        check_statistics(f"SAE {name}", mean, std, activations)

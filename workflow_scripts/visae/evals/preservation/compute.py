"""M3 downstream preservation: what a classifier of raw features keeps on reconstructions.

Paper: section 4.2 (the classifier is trained on raw activations and applied to
reconstructions) and Table 2. Appendix L and one reading of Table 2 train a second classifier
on the reconstructions: the reading `retrained`.
"""

from __future__ import annotations

import numpy as np

from visae.base.arrays import Bool, Float, Int
from visae.evals.results import Result
from visae.probing.limits import MAX_ITER
from visae.probing.multinomial import LinearProbe, fit_probe
from visae.probing.raw_probes import fit_raw_probe


def compute(inputs, settings, job):
    """M3 of an SAE."""
    encoded = inputs.encoded()
    return preservation(
        inputs.features_max(),
        encoded.reconstructions_max(),
        encoded.labels,
        inputs.held_out(),
        inputs.raw_probe(),
        job.device,
    )


def preservation(
    raw_nd: Float[np.ndarray, "N D"],
    recon_nd: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    test_mask: Bool[np.ndarray, " N"],
    raw_probe: LinearProbe | None = None,
    device: str = "cpu",
) -> Result:
    """M3 on the test images.

    raw_nd, recon_nd: float [N, D], max over patches of the normalised activations and of their
    reconstructions. raw_probe: from `fit_raw_probe`; fitted here if absent.
    """
    data = {
        "images": labels.size,
        "test_images": int(test_mask.sum()),
        "classes": int(np.unique(labels).size),
        "tested_classes": int(np.unique(labels[test_mask]).size),
    }
    raw = recon = retrained = None
    converged = {}
    estimator = None
    if data["test_images"]:
        if raw_probe is None:
            raw_probe = fit_raw_probe(raw_nd, labels, test_mask, device)
        # Started at the raw probe: reconstructions resemble what they reconstruct.
        recon_probe = fit_probe(
            recon_nd[~test_mask], labels[~test_mask], "lbfgs", MAX_ITER, device, start=raw_probe
        )
        raw = raw_probe.accuracy(raw_nd[test_mask], labels[test_mask])
        recon = raw_probe.accuracy(recon_nd[test_mask], labels[test_mask])
        retrained = recon_probe.accuracy(recon_nd[test_mask], labels[test_mask])
        converged = {"raw": raw_probe.converged, "retrained": recon_probe.converged}
        estimator = raw_probe.estimator
    reason = None
    if raw is None:
        reason = "no image is held out: every class has a single image"
    elif raw == 0:
        reason = f"the probe is right on none of the {data['test_images']} raw test images"
    return Result(
        value=_share(recon, raw),
        reason=reason,
        readings={
            "accuracy_raw": raw,
            "accuracy_reconstructed": recon,
            "accuracy_retrained": retrained,
            "retrained": _share(retrained, raw),
            "as_run": _share(retrained, raw),
        },
        details={"estimator": estimator, "converged": converged},
        data=data,
    )


def _share(accuracy, raw):
    """Of the accuracy on raw features; None where that is 0 or not known."""
    return accuracy / raw if raw else None

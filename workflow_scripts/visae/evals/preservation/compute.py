"""M3 downstream preservation: what a classifier of raw features keeps on reconstructions.

Paper: section 4.2 (the classifier is trained on raw activations and applied to
reconstructions) and Table 2. Appendix L and one reading of Table 2 train a second classifier
on the reconstructions: the reading `retrained`.
"""

import numpy as np

from visae.evals.results import Score
from visae.probing.multinomial import fit_probe

MAX_ITER = 1000


def fit_raw_probe(raw_nd, labels, test_mask, device="cpu"):
    """The multinomial probe on raw features, once per backbone (see `multinomial.write_probe`).

    raw_nd: float [N, D], max over patches. labels: int [N]. test_mask: bool [N].
    """
    train_mask = ~np.asarray(test_mask)
    return fit_probe(raw_nd[train_mask], labels[train_mask], max_iter=MAX_ITER, device=device)


def preservation(raw_nd, recon_nd, labels, test_mask, raw_probe=None, device="cpu"):
    """Score M3 on the test images.

    raw_nd, recon_nd: float [N, D], max over patches of the normalised activations and of their
    reconstructions. raw_probe: from `fit_raw_probe`; fitted here if absent.
    """
    labels, test_mask = np.asarray(labels), np.asarray(test_mask)
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
    return Score(
        metric="preservation",
        value=None if reason else recon / raw,
        reason=reason,
        definition=(
            "accuracy on reconstructed / accuracy on raw test features (max over patches) of one "
            "multinomial logistic regression trained on raw training features"
        ),
        higher_is_better=True,
        readings={
            "accuracy_raw": raw,
            "accuracy_reconstructed": recon,
            "accuracy_retrained": retrained,
            "retrained": None if reason else retrained / raw,
        },
        details={"estimator": estimator, "converged": converged},
        data=data,
    )

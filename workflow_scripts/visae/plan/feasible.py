"""Can the SAEs of a study be trained at all? What is certain before it runs is refused."""

from visae.base.errors import UserError
from visae.study.checks import check_sizes

COUNTED = ("index", "config")
"""Sources of a number of images that are certain."""


def check_training(study, geometries, counts):
    """Refuse SAEs that ask for more features than they have, and trainings that are too short.

    geometries: backbone → Geometry. counts: split name → Count. Raises UserError with the settings
    to change.
    """
    check_sizes(study, geometries)
    count, settings = counts[study.training.name], study.config["training"]
    trained = {b for sweep in study.sweeps.values() if not sweep.imported for b in sweep.backbones}
    if count.source not in COUNTED:
        return
    for backbone in sorted(trained):
        tokens = count.images * geometries[backbone].patches
        steps = -(-tokens // settings["batch_size"]) * settings["epochs"]
        if steps < settings["minimum_steps"]:
            raise UserError(
                f"config: {study.training.name} has {tokens:,} tokens of {backbone}, which are "
                f"{steps} {'step' if steps == 1 else 'steps'} of training.batch_size "
                f"{settings['batch_size']:,} in {settings['epochs']} of training.epochs, too few "
                "to learn anything: lower the batch size, raise the epochs, take more images, or "
                f"lower training.minimum_steps ({settings['minimum_steps']})"
            )
        for sweep in study.sweeps.values():
            if backbone in sweep.backbones and not sweep.imported:
                _check_patience(study, sweep.name, backbone, tokens * settings["epochs"])


def _check_patience(study, sweep, backbone, tokens):
    """UserError where a run of `tokens` tokens ends before any feature of a sweep can be dead."""
    own = study.own_settings(sweep)
    for section, key in (("auxiliary", "dead_after"), ("resampling", "every")):
        patience = (own.get(section) or {}).get(key, 0)
        if patience >= tokens:
            raise UserError(
                f"config: sweeps.{sweep}.training.{section}.{key} is {patience:,} tokens, but a "
                f"run on {backbone} has {tokens:,}, so that no feature could be dead before its "
                "end: lower it"
            )

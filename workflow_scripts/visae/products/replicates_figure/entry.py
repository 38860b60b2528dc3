"""What stays and what changes when the backbones are pretrained again with other seeds."""

from visae.products.product import Product
from visae.products.sources import labels, metrics, replicates, studies, tables
from visae.study import roles


def _settings(study):
    """Arms: those of the main sweep, then of the control, in the order in which they are drawn."""
    sweeps = [sweep for sweep in (roles.main(study), roles.control(study)) if sweep is not None]
    arms = [(sweep.name, backbone) for sweep in sweeps for backbone in sweep.backbones]
    return {**metrics(study), "arms": arms, "labels": labels(study)}


def _over(study):
    names = studies(study)
    return f"n = {len(names)} studies: {', '.join(names)}."


ENTRY = Product(
    kind="figure",
    shows="what stays and what changes when the backbones are pretrained again",
    reads=lambda study, paths: tables(paths, "replicates_table", "replicate_means"),
    settings=_settings,
    needs=(replicates,),
    over=_over,
)

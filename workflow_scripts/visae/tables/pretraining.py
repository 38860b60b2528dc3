"""What the study's own pretraining brought, backbone by backbone and study by study."""

from pathlib import Path

from visae.pretraining.records import read_sanity
from visae.tables.layout import Column, Table


def pretraining_table(sanity_paths):
    """One row per `results/{study}/pretraining/{backbone}/sanity.json`, in their order."""
    return Table(
        "Pretraining: a linear probe on the evaluation images, before and after",
        (
            Column("study", "Study"),
            Column("backbone", "Backbone"),
            Column("objective", "objective"),
            Column("steps", "steps"),
            Column("batch_size", "batch"),
            Column("evaluation_images", "n"),
            Column("accuracy_random", "accuracy, random weights", digits=3),
            Column("accuracy", "accuracy", digits=3),
            Column("gain", "gain", digits=3),
            Column("gain_standard_error", "standard error", digits=3),
            Column("rank_random", "effective rank, random weights", digits=1),
            Column("rank", "effective rank", digits=1),
            Column("first_loss", "first loss", digits=3),
            Column("last_loss", "last loss", digits=3),
        ),
        [_row(Path(path)) for path in sanity_paths],
        notes=(
            "The probe is fitted on training images and read on evaluation images; the standard "
            "error is that of the gain on the same evaluation images.",
        ),
    )


def _row(path):
    sanity = read_sanity(path)
    same = ("backbone", "objective", "steps", "batch_size", "evaluation_images", "gain",
            "gain_standard_error", "first_loss", "last_loss")  # fmt: skip
    return {
        "study": path.parents[2].name,
        **{key: sanity[key] for key in same},
        "accuracy_random": sanity["random"]["probe_accuracy"],
        "accuracy": sanity["pretrained"]["probe_accuracy"],
        "rank_random": sanity["random"]["effective_rank"],
        "rank": sanity["pretrained"]["effective_rank"],
    }

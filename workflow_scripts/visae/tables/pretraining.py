"""What the study's own pretraining brought, backbone by backbone and study by study."""

from pathlib import Path

from visae.base.reading import as_number, as_text, as_whole, guarded, read_json
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
    kinds = {
        **dict.fromkeys(("backbone", "objective"), as_text),
        **dict.fromkeys(("steps", "batch_size", "evaluation_images"), as_whole),
        **dict.fromkeys(("gain", "gain_standard_error", "first_loss", "last_loss"), as_number),
    }
    with guarded(path, "the report of a pretraining"):
        sanity = read_json(path)
        before, after = sanity["random"], sanity["pretrained"]
        return {
            "study": path.parents[2].name,
            **{key: as_kind(sanity[key]) for key, as_kind in kinds.items()},
            "accuracy_random": as_number(before["probe_accuracy"]),
            "accuracy": as_number(after["probe_accuracy"]),
            "rank_random": as_number(before["effective_rank"]),
            "rank": as_number(after["effective_rank"]),
        }

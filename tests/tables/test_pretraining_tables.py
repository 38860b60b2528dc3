"""What the study's own pretraining brought, from planted files."""

from visae.base.seals import write_document
from visae.pretraining.records import SANITY_FORMAT
from visae.tables.pretraining import pretraining_table


def test_a_row_has_both_models_and_the_study_of_its_path(tmp_path):
    same = {
        "backbone": "mae",
        "objective": "mae",
        "steps": 100,
        "batch_size": 32,
        "evaluation_images": 60,
        "gain": 0.25,
        "gain_standard_error": 0.05,
        "first_loss": 3.0,
        "last_loss": 1.0,
    }
    paths = []
    for number, study in enumerate(("one", "two")):
        path = tmp_path / study / "pretraining" / "mae" / "sanity.json"
        path.parent.mkdir(parents=True)
        sanity = {
            **same,
            "random": {"probe_accuracy": 0.25, "effective_rank": 3.0 + number},
            "pretrained": {"probe_accuracy": 0.5, "effective_rank": 7.0 + number},
        }
        write_document(path, SANITY_FORMAT, sanity)
        paths.append(path)
    table = pretraining_table(paths)
    assert [row["study"] for row in table.rows] == ["one", "two"]
    of_models = {"accuracy_random": 0.25, "accuracy": 0.5, "rank_random": 3.0, "rank": 7.0}
    assert table.rows[0] == {"study": "one", **same, **of_models}
    assert (table.rows[1]["rank_random"], table.rows[1]["rank"]) == (4.0, 8.0)
    assert {column.key for column in table.columns} == set(table.rows[0])

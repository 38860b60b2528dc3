"""A Hugging Face data set: saved by `save_to_disk`, a hub snapshot, or the cache of `datasets`."""

from visae.images.layouts import Layout

ENTRY = Layout(
    label="Hugging Face data set",
    description=(
        "Saved by `save_to_disk`, a snapshot of Parquet files from the hub, or the Arrow files in "
        "the cache of `datasets`."
    ),
    source="https://huggingface.co/datasets, by load_dataset(…).save_to_disk(…) or `hf download`",
    splits=None,  # each data set has its own
    lists=(
        "state.json",
        "README.md",
        "dataset_infos.json",
        "snapshots/*/README.md",
        *("*/" * depth + "dataset_info.json" for depth in range(5)),
        "*/state.json",
    ),
    options={
        "image": "the column of images, where there are several or none declares itself",
        "label": "the column of labels, likewise",
        "config": "which of the data set's configurations",
    },
)

"""Images in folders, as people keep them: classes in folders, in a list beside them, or none."""

from visae.images.layouts import Layout

SOURCE = "where your images are"

ENTRY = Layout(
    label="Folder of images",
    description=(
        "Images in a folder per split, or in one for all. Their classes are folders or stand in a "
        "list; or there are none."
    ),
    source=SOURCE,
    splits=None,  # each data set has its own
    whole=True,
    # Others stand in the inventory with their sizes, as all files beside images do.
    lists=("metadata.*", "*/metadata.*", "*.csv", "*.tsv", "*.jsonl"),
    options={
        "list": "the file of labels below the root (CSV, TSV, JSON, JSONL, text); or split → file",
        "file": "its column of images, where that is not called file_name, filename, image, path …",
        "label": "its column of labels, where that is not called label, class, category …",
    },
)

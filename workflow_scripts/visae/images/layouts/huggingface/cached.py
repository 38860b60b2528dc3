"""The cache of `datasets`: `{name}-{split}-00000-of-00002.arrow` beside one `dataset_info.json`."""

import re

from visae.base.errors import UserError
from visae.images.layouts.huggingface import SOURCE, File
from visae.images.layouts.shards import complete
from visae.images.layouts.texts import read_json

_NAME = re.compile(r"(?!cache-).+?-([\w.]+)(?:-\d{5}-of-\d{5})?\.arrow")
_DEPTH = 4  # {data set}/{configuration}/{version}/{hash}


def is_there(root, split):
    """Whether a folder at most four levels below the root holds such files."""
    return bool(_folders(root))


def find(root, split, config):
    """The Files of `split` in the one folder of the cache that there is, or that `config` names.

    Raises:
        UserError: several folders, or none of that configuration; no such split; a missing file.
    """
    folders = [f for f in _folders(root) if config is None or config in f.relative_to(root).parts]
    if len(folders) != 1:
        first = ", ".join(str(folder) for folder in folders[:3])
        raise UserError(
            f"{root} holds {len(folders)} prepared data sets{f' ({first})' if first else ''}"
            f"{f' of the configuration {config!r}' if config else ''}: set `root` to the folder of "
            "one dataset_info.json."
        )
    [folder] = folders
    described = read_json(folder / "dataset_info.json", SOURCE, ("features",))
    by_split = {}
    for file in sorted(folder.glob("*.arrow")):
        if found := _NAME.fullmatch(file.name):
            by_split.setdefault(found[1], []).append(file)
    if split not in by_split:
        raise UserError(
            f"{folder} has no files of the split '{split}', but of {', '.join(sorted(by_split))}: "
            f"name one of these, or prepare it again ({SOURCE})."
        )
    files = complete(by_split[split], split, SOURCE)
    _check_number(folder, described, split, files)
    return [
        File(file.relative_to(root).as_posix(), file.stem, described["features"]) for file in files
    ]


def _check_number(folder, described, split, files):
    """Files whose names do not count them are counted by the description."""
    told = (described.get("splits") or {}).get(split)
    lengths = told.get("shard_lengths") if isinstance(told, dict) else None
    if lengths and len(lengths) != len(files):
        raise UserError(
            f"{folder} holds {len(files)} file(s) of the split '{split}' and its dataset_info.json "
            f"counts {len(lengths)}: prepare the data set again."
        )


def _folders(root):
    """Folders with a description of all splits and Arrow files, at most `_DEPTH` below `root`."""
    found = []
    for depth in range(_DEPTH + 1):
        for info in sorted(root.glob("*/" * depth + "dataset_info.json")):
            folder = info.parent
            if not (folder / "state.json").exists() and any(folder.glob("*.arrow")):
                found.append(folder)
    return found

"""As `save_to_disk` writes it: Arrow files and two descriptions, in a folder per split."""

from visae.base.errors import UserError
from visae.images.layouts.folders import require
from visae.images.layouts.huggingface import SOURCE, File
from visae.images.layouts.texts import read_json


def is_there(root, split):
    """Whether the root is that of a saved data set, or of a single saved split."""
    names = ("state.json", "dataset_dict.json", f"{split}/state.json", f"{split}/dataset_info.json")
    return any((root / name).is_file() for name in names)


def find(root, split, config):
    """The Files of `split`; there is but one configuration."""
    folder = root if (root / "state.json").is_file() else root / split
    features = _described(folder / "dataset_info.json", "features")["features"]
    state = _described(folder / "state.json", "_data_files")
    if folder == root and state.get("_split") not in (None, split):
        raise UserError(
            f"{root} is the saved split '{state['_split']}' and not '{split}': call it that, or "
            "save the data set with all of its splits."
        )
    if state.get("_indices_data_files"):
        raise UserError(
            f"{folder} was saved with a choice or an order of its rows that lies beside them: call "
            "`flatten_indices()` and save the data set again."
        )
    files = []
    for number, data_file in enumerate(state["_data_files"]):
        name = data_file.get("filename") if isinstance(data_file, dict) else None
        if not name:
            raise UserError(
                f"{folder / 'state.json'} gives file number {number} no name: save the data set "
                "again."
            )
        files.append(File((folder / name).relative_to(root).as_posix(), split, features))
    return files


def _described(path, key):
    """The description at `path`, which must have the entry `key`."""
    require(path, "A description of the saved data set", SOURCE)
    return read_json(path, SOURCE, (key,))

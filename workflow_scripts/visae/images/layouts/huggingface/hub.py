"""A snapshot from the hub: Parquet files, with or without a README that says which are of a split.

The root is the snapshot, the repository's folder in the hub's cache, or a copy of the files.
"""

import re

import yaml

from visae.base.errors import UserError
from visae.base.reading import parse_json
from visae.images.containers.tables import schema_of
from visae.images.layouts.huggingface import SOURCE, File
from visae.images.layouts.shards import complete, of_split, visible
from visae.images.layouts.texts import read_json, read_text


def is_there(root, split):
    """Whether Parquet files lie below the root."""
    return bool(visible(_snapshot(root), "*.parquet"))


def find(root, split, config):
    """The Files of `split`.

    Raises:
        UserError: several configurations or snapshots of which none is named; no such split; files
            that are missing, damaged, or links to nothing.
    """
    base = _snapshot(root)
    card = _card(base / "README.md")
    chosen, files = _listed(base, card, split, config)
    if files is None:
        files = _named(base, split, config)
    files = complete(files, split, SOURCE)
    described = _described(base, card, chosen)
    return [
        File(
            file.relative_to(root).as_posix(),
            file.relative_to(base).with_suffix("").as_posix(),
            _features(file) or described,
        )
        for file in files
    ]


# ---------------------------------------------------------------- which files


def _snapshot(root):
    """The folder of the files: the root, or the snapshot of the hub's cache that is in use."""
    folder = root / "snapshots"
    if not folder.is_dir():
        return root
    there = sorted(path for path in folder.iterdir() if path.is_dir())
    used = root / "refs" / "main"
    named = [path for path in there if used.is_file() and path.name == read_text(used).strip()]
    if len(named or there) != 1:
        raise UserError(
            f"{folder} holds {len(there)} snapshots and refs/main names none of them: set `root` "
            f"to one, or get the data set again from {SOURCE}."
        )
    return (named or there)[0]


def _listed(base, card, split, config):
    """(name of the configuration, the split's files) as the README lists them, None if it does not.

    A configuration without a list of files is left to the files' names.
    """
    configs = [c for c in _items(card.get("configs")) if "data_files" in c]
    if not configs:
        return config, None
    names = [c.get("config_name", "default") for c in configs]
    if config is None and len(configs) > 1:
        preferred = [
            name
            for name, c in zip(names, configs, strict=True)
            if name == "default" or c.get("default") == "true"
        ]
        config = preferred[0] if len(preferred) == 1 else None
        if config is None:
            raise UserError(
                f"{base} has the configurations {', '.join(names)}: name one, by "
                "`options: {config: …}`."
            )
    config = config or names[0]
    if config not in names:
        raise UserError(
            f"{base} has no configuration '{config}', but {', '.join(names)}: name one of them."
        )
    patterns = _patterns(configs[names.index(config)])
    if split not in patterns:
        raise UserError(
            f"The README of {base} lists no files of the split '{split}', but of "
            f"{', '.join(patterns)}: name one of these."
        )
    files = {file for pattern in patterns[split] for file in _matching(base, pattern)}
    wanted = {file for file in files if file.suffix == ".parquet"}
    if not wanted:
        other = f", but {min(files).relative_to(base)}" if files else ""
        raise UserError(
            f"{base} holds no Parquet file named {' or '.join(patterns[split])}, which its README "
            f"lists for the split '{split}'{other}: get the files from {SOURCE}, or name the "
            "layout that they are in."
        )
    return config, list(wanted)


def _patterns(config):
    """Split → patterns of a configuration, whose list has one of several forms."""
    listed, folder = config["data_files"], config.get("data_dir", "")
    if isinstance(listed, dict):
        pairs = list(listed.items())
    elif isinstance(listed, list) and all(isinstance(item, dict) for item in listed):
        pairs = [(item.get("split", "train"), item.get("path", [])) for item in listed]
    else:
        pairs = [("train", listed)]
    prefix = f"{folder.strip('/')}/" if folder else ""
    return {
        split: [prefix + path for path in ([paths] if isinstance(paths, str) else paths)]
        for split, paths in pairs
    }


def _matching(base, pattern):
    pattern = pattern.removeprefix("./").rstrip("/")
    if (base / pattern).is_dir():
        pattern += "/*"
    return base.glob(pattern)


def _named(base, split, config):
    """Files whose names or folders say that they are the split's."""
    files = [
        file
        for file in visible(base, "*.parquet")
        if config is None or config in file.relative_to(base).parts[:-1]
    ]
    found = of_split(files, base, split)
    if not found:
        first = f"; the first of {len(files)} is {files[0].relative_to(base)}" if files else ""
        raise UserError(
            f"{base} has no Parquet files of the split '{split}'"
            f"{f' and the configuration {config!r}' if config else ''}{first}: name a split (and "
            "configuration) as files or folders are."
        )
    folders = sorted({str(file.parent.relative_to(base)) for file in found})
    if len(folders) > 1:
        raise UserError(
            f"The Parquet files of the split '{split}' lie in {len(folders)} folders of {base} "
            f"({', '.join(folders[:4])}): name the folder of one configuration, by "
            "`options: {config: …}`."
        )
    return found


# ---------------------------------------------------------------- what their columns are


def _features(file):
    """The features that a file describes itself, {} if it does not."""
    said = (schema_of(file).metadata or {}).get(b"huggingface")
    try:
        return (parse_json(said.decode()).get("info") or {}).get("features") or {} if said else {}
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"{file} describes its columns in a way that cannot be read ({error}): write it again "
            "by `datasets`."
        ) from error


def _described(base, card, config):
    """The features that the README or an older list describes, {} if none does."""
    infos = _items(card.get("dataset_info"))
    for info in infos:
        is_chosen = len(infos) == 1 or config in (None, info.get("config_name"))
        if is_chosen and info.get("features"):
            try:
                return {f["name"]: _of_card(f) for f in _items(info["features"]) if "name" in f}
            except (ValueError, TypeError, AttributeError) as error:
                raise UserError(
                    f"The features in {base / 'README.md'} cannot be read ({error}): correct them, "
                    "or remove the README."
                ) from error
    older = base / "dataset_infos.json"
    if older.is_file():
        infos = read_json(older, SOURCE)
        info = infos.get(config) or next(iter(infos.values()), {})
        return info.get("features") or {}
    return {}


def _of_card(feature):
    """A feature as READMEs write it, as `datasets` describes it."""
    kind = feature.get("dtype")
    if isinstance(kind, dict):
        [(kind, more), *_] = kind.items()
    else:
        more = {}
    more = more if isinstance(more, dict) else {}
    if kind == "image":
        return {"_type": "Image", "mode": more.get("mode")}
    if kind == "class_label":
        names = more.get("names") or {}
        if isinstance(names, dict):
            names = [names[number] for number in sorted(names, key=int)]
        return {"_type": "ClassLabel", "names": names}
    return {"_type": "Value"}


def _card(path):
    """What the README says for machines at its top; every value is a text, list or object."""
    if not path.is_file():
        return {}
    found = re.match(r"---\n(.*?)\n---\s*(\n|$)", read_text(path), re.DOTALL)
    try:
        # As texts: `no` and `1e5` are names of classes, and no truth or number.
        content = yaml.load(found[1], yaml.BaseLoader) if found else {}
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"The top of {path} is no YAML ({said}): correct it, or remove the README."
        ) from error
    return content if isinstance(content, dict) else {}


def _items(value):
    """A list of objects, where one may stand for itself."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]

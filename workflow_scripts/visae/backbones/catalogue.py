"""The models that a loader's library names, as a list: asked at planning time, without the library.

`models.txt` beside a loader's entry lists those of one version. Its first line gives package,
version, what stands between architecture and tag, and `bare` where the tag may be left out, or
`types` where a name with a tag is one on the hub, of which nothing is known here. Each other line
is an architecture, the number of its blocks and its tags. The number is `-` for what is no plain
vision transformer, and `?` where unknown.
"""

import difflib
from importlib import metadata
from pathlib import Path

from visae.backbones import loaders
from visae.backbones.loaders import LOADERS
from visae.base.errors import UserError


def check_model(name, entry, layer):
    """Refuse a backbone's config entry whose model, or whose block `layer`, does not exist.

    A model that the list lacks may exist in another version of the library than the list's: it is
    then left to the loader, as all models of loaders without a list are.

    Raises:
        UserError: naming models that are alike, or the blocks that there are.
    """
    path = Path(loaders.__file__).parent / entry["loader"] / "models.txt"
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    package, version, between, bare = text[: text.index("\n")].split(" ")
    if bare == "types" and (between in entry["model"] or _described(entry)):
        return
    architecture, _, tag = entry["model"].partition(between)
    start = text.find(f"\n{architecture} ") + 1
    depth, *tags = text[start : text.index("\n", start)].split(" ")[1:]
    if bare != "tagged":  # architectures without a tag are models as well
        tags.append("")
    if not start or tag not in tags:
        if _installed(package) in (version, None):
            known = [f"{architecture}{between}{each}" for each in tags if each]
            known = known if start and known else _all(text, between, bare)
            close = difflib.get_close_matches(entry["model"], known) or known[:3]
            raise UserError(
                f"config: backbones.{name}.model is '{entry['model']}', which {package} does not "
                f"have; did you mean {' or '.join(close)}?"
            )
        return
    if depth == "-":
        raise UserError(
            f"config: backbones.{name}.model is '{entry['model']}', which is no plain vision "
            "transformer with one token per patch in every block; choose another"
        )
    blocks = _blocks(entry, depth)
    if blocks is not None and layer >= blocks:
        keys = ".".join(("options", *LOADERS[entry["loader"]].blocks))
        of_options = f" by its {keys}" if entry["options"] else ""
        raise UserError(
            f"config: block {layer} of backbones.{name} is asked for, but '{entry['model']}' has "
            f"{blocks} blocks{of_options}, numbered 0 to {blocks - 1}; correct `layer`"
        )


def suggestions(model):
    """{loader: names in its library's list that are `model`, or are like it}."""
    found = {}
    for path in sorted(Path(loaders.__file__).parent.glob("*/models.txt")):
        text = path.read_text(encoding="utf-8")
        _, _, between, bare = text[: text.index("\n")].split(" ")
        names = _all(text, between, bare)
        found[path.parent.name] = (
            [model] if model in names else difflib.get_close_matches(model, names)
        )
    return found


def _described(entry):
    """Whether the weights are a folder that says itself of what model they are."""
    return (Path(entry.get("weights", "")) / "config.json").is_file()


def _blocks(entry, listed):
    """The number of blocks by the options, or by the list; None where neither is sure to say it."""
    said = entry["options"]
    for key in LOADERS[entry["loader"]].blocks:
        said = said.get(key) if isinstance(said, dict) else None
    if isinstance(said, int) and said > 0:
        return said
    return None if entry["options"] or listed == "?" else int(listed)


def _all(text, between, bare):
    rows = [line.split(" ") for line in text.splitlines()[1:]]
    tagged = [f"{row[0]}{between}{tag}" for row in rows for tag in row[2:]]
    return tagged + ([row[0] for row in rows] if bare != "tagged" else [])


def _installed(package):
    """The installed version of a package; None where planning is done without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

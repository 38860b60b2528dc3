"""Writes `models.txt` of the loaders: what planning knows of their models.

python resources/list_models.py [timm | open_clip | transformers …]

Every architecture is built on the meta device, without weights. The format is that of
`visae.backbones.catalogue`.
"""

import itertools
import sys
from importlib import metadata
from pathlib import Path

import torch

from visae.backbones import BackboneSpec, build_backbone, loaders
from visae.base.errors import UserError


def timm_models():
    """{architecture: tags} of timm."""
    import timm

    found = {name: [] for name in timm.list_models()}
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        found[architecture] += [tag] if tag else []
    return found


def open_clip_models():
    """{architecture: tags} of open_clip."""
    import open_clip

    found = {}
    for architecture, tag in open_clip.list_pretrained():
        found.setdefault(architecture, []).append(tag)
    return found


def transformers_models():
    """{model type: no tags}: models on the hub are not listed."""
    from visae.backbones.loaders.transformers.load import MODEL_TYPES

    return {name: [] for name in MODEL_TYPES}


LISTS = {
    "timm": ("timm", ".", "bare", timm_models),
    "open_clip": ("open_clip_torch", ":", "tagged", open_clip_models),
    "transformers": ("transformers", "/", "types", transformers_models),
}
"""Loader → package, what stands between architecture and tag, what models without a tag are."""


NO_PLAIN_TRANSFORMER = ("plain vision transformer", "is no vision transformer")
"""In the sentences by which loaders refuse a model for what it is."""


def depth(loader, names):
    """The number of blocks of the first name that is built; `-` for what is no plain transformer.

    `?` where neither is known: a tag may ask for another architecture, or for files of its own.
    """
    said = []
    for name, image_size in itertools.product(names, (224, None)):
        try:
            with torch.device("meta"):
                spec = BackboneSpec("listed", loader, name, "random", image_size)
                return str(build_backbone(spec).depth)
        except UserError as error:
            said.append(str(error))
    refused = any(words in sentence for sentence in said for words in NO_PLAIN_TRANSFORMER)
    return "-" if refused else "?"


def write(loader):
    """Write the list of one loader."""
    package, between, bare, models = LISTS[loader]
    lines = [f"{package} {metadata.version(package)} {between} {bare}"]
    for architecture, tags in sorted(models().items()):
        tagged = [f"{architecture}{between}{tag}" for tag in tags]
        names = tagged if bare == "tagged" else [architecture]
        lines.append(" ".join([architecture, depth(loader, names), *sorted(tags)]))
    path = Path(loaders.__file__).parent / loader / "models.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or LISTS:
        write(chosen)

"""Writes what planning and docs know of the loaders' models: `models.txt` and docs/models.csv.

python resources/list_models.py [timm | open_clip | transformers …]
python resources/list_models.py count

Every architecture is built on the meta device, without weights, and passed through once. The format
of `models.txt` is that of `visae.backbones.catalogue`. docs/models.csv has the models that can be
used, of all loaders. `count` prints how many that are of the vision transformers that the libraries
list.
"""

import csv
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from visae.backbones import BackboneSpec, catalogue, loaders
from visae.backbones.catalogue import Catalogue, Listed
from visae.base.errors import UserError

TABLE = Path(__file__).parents[1] / "docs" / "models.csv"

TIMM_MODULES = (
    "vision_transformer",
    "vision_transformer_hybrid",
    "vision_transformer_relpos",
    "vision_transformer_sam",
    "naflexvit",
    "gemma4_vit",
)
"""timm's modules of vision transformers, for `count`."""

# Model types with an image alone as input and one size of patches.
TRANSFORMERS_TYPES = (
    "aimv2_vision_model",
    "altclip_vision_model",
    "beit",
    "blip_vision_model",
    "chinese_clip_vision_model",
    "clip_vision_model",
    "data2vec-vision",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "dpt",
    "gemma4_vision",
    "granite_docling_vision",
    "idefics3_vision",
    "ijepa",
    "internvl_vision",
    "metaclip_2_vision_model",
    "mlcd_vision_model",
    "pixio",
    "pixtral",
    "radio",
    "sam_vision_model",
    "sapiens2",
    "siglip2_vision_model",
    "siglip_vision_model",
    "tipsv2_vision_model",
    "vit",
    "vit_mae",
    "vit_msn",
    "vitdet",
    "yolos",
)


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
    from transformers import CONFIG_MAPPING

    return {name: [] for name in CONFIG_MAPPING}


def said_by_settings(name):
    """`?` for a type of transformers whose settings speak of images, else `-`; nothing is built."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.for_model(name)
    except Exception:  # of any of the settings' classes, some of which need more
        return "?"
    settings = ("vision_config", "image_config", "backbone_config", "image_size", "patch_size")
    settings += ("architecture", "num_channels")
    return "?" if "vision" in name or any(hasattr(config, each) for each in settings) else "-"


LISTS = {
    "timm": ("timm", ".", "bare", timm_models),
    "open_clip": ("open_clip_torch", ":", "tagged", open_clip_models),
    "transformers": ("transformers", "/", "types", transformers_models),
}
"""Loader → package, what stands between architecture and tag, what models without a tag are."""


NO_PLAIN_TRANSFORMER = ("it is no vision transformer", "only plain vision transformers")
"""In the sentences by which loaders refuse a model for what it is."""


def measured(loader, names):
    """What a list says of the first name that is built: a `Listed` as text, `-` or `?`.

    The image size is the model's own, or, where that cannot be, 224. `?` where nothing is known: a
    tag may ask for another architecture, or for files of its own; and a type of transformers that
    is none of TRANSFORMERS_TYPES may be large, so that it is left to the loader.
    """
    from visae.backbones.shapes import built_without_weights, flops_of_blocks

    if loader == "transformers" and names[0] not in TRANSFORMERS_TYPES:
        return said_by_settings(names[0])
    said = []
    specs = [
        BackboneSpec("listed", loader, name, "random", image_size)
        for image_size in (None, 224)
        for name in names
    ]
    for spec in specs:
        try:
            backbone = built_without_weights(spec)
        except UserError as error:
            said.append(str(error))
            if any(words in said[-1] for words in NO_PLAIN_TRANSFORMER):
                return "-"
            continue
        if loader == "transformers" and not patches_follow_the_prefix(spec):
            return "-"
        # Counting takes as long as all else; blocks that are alike have as many FLOPs.
        block = stem = 0
        if backbone.depth > 1 and len({made_of(block) for block in backbone.blocks}) == 1:
            first, second = flops_of_blocks(backbone, 2)
            block = second - first
            stem = first - block
        listed = Listed(
            blocks=backbone.depth,
            width=backbone.width,
            grid=backbone.grid,
            patch=backbone.patch,
            prefix=backbone.prefix_tokens,
            registers=registers(backbone),
            stem=stem,
            block=block,
        )
        return listed.written()
    return "?"


def made_of(block):
    """What decides a block's FLOPs: its modules, with their sizes and settings."""
    return tuple(
        (name, type(module), *sorted(settings_of(module).items()))
        for name, module in block.named_modules()
    )


def settings_of(module):
    """The numbers and shapes of a module, but for those that differ from block to block."""
    kinds = (int, str, tuple)
    apart = ("drop_prob", "layer_idx", "layer_index", "layer_id")
    own = {k: str(v) for k, v in vars(module).items() if isinstance(v, kinds) and k not in apart}
    return own | {k: str(tuple(w.shape)) for k, w in module.named_parameters(recurse=False)}


def registers(backbone):
    """How many of the prefix tokens are registers, by the model's parameters."""
    found = [
        weight.shape[-2]
        for name, weight in backbone.model.named_parameters()
        if re.search(r"(^|\.)(reg|register|storage)_tokens?$", name) and weight.ndim > 1
    ]
    return min(sum(found), backbone.prefix_tokens)


def patches_follow_the_prefix(spec):
    """Whether the order of tokens is as expected, by one block on the CPU with random weights."""
    from visae.backbones import build_backbone
    from visae.backbones.checks import check_raster_order

    for image_size in (224, spec.image_size):
        small = replace(spec, image_size=image_size, options={"num_hidden_layers": 1})
        try:
            check_raster_order(build_backbone(small))
        except UserError as error:
            if "tokens are not in raster order" in str(error):
                return False
        else:
            return True
    return False


def _one(task):
    return measured(*task)


def families(loader, names):
    """Lists of names whose models come from one module of timm; elsewhere each is of its own."""
    if loader != "timm":
        return [[name] for name in names]
    import timm

    found = {}
    for name in names:
        found.setdefault(timm.model_entrypoint(name).__module__, []).append(name)
    return list(found.values())


def samples(family):
    """The first, the middle and the last of a family, by whose refusal all of it is refused."""
    return {family[0], family[len(family) // 2], family[-1]}


def write(loader):
    """Write the list of one loader, with as many processes as there are cores."""
    package, between, bare, models = LISTS[loader]
    found = dict(sorted(models().items()))
    said = dict.fromkeys(found, "-")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:

        def measure(chosen):
            names = [
                [f"{name}{between}{tag}" for tag in sorted(found[name])]
                if bare == "tagged"
                else [name]
                for name in chosen
            ]
            tasks = [(loader, each) for each in names]
            said.update(zip(chosen, pool.map(_one, tasks, chunksize=4), strict=True))

        groups = families(loader, list(found))
        measure([name for family in groups for name in sorted(samples(family))])
        usable = [f for f in groups if any(said[name] != "-" for name in samples(f))]
        measure([name for family in usable for name in family if name not in samples(family)])
    lines = [f"{package} {metadata.version(package)} {between} {bare}"]
    lines += [" ".join([name, said[name], *sorted(tags)]) for name, tags in found.items()]
    path = Path(loaders.__file__).parent / loader / "models.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_table():
    """Write docs/models.csv from the lists."""
    columns = "loader,version,model,blocks,width,rows,columns,patch,prefix_tokens,registers"
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns.split(","))
        for each in catalogue.catalogues():
            version = f"{each.package} {each.version}"
            for row in each.rows():
                if about := Listed.read(row.said):
                    place = (each.loader, version, row.architecture)
                    grid = (*about.grid, about.patch, about.prefix, about.registers)
                    table.writerow([*place, about.blocks, about.width, *grid])


def count():
    """Print, by loader, how many of the vision transformers that the libraries list are usable."""
    import timm

    chosen = {
        "timm": {name for module in TIMM_MODULES for name in timm.list_models(module=module)},
        "open_clip": {
            name for name in open_clip_models() if not name.startswith(("RN", "convnext"))
        },
        "transformers": set(TRANSFORMERS_TYPES),
    }
    for loader, names in chosen.items():
        rows = {row.architecture: row.said for row in Catalogue(loader).rows()}
        usable = sum(Listed.read(rows[name]) is not None for name in names)
        print(f"{loader}: {usable} of {len(names)}")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.argv[1:] == ["count"]:
        count()
    else:
        for chosen in sys.argv[1:] or LISTS:
            write(chosen)
        write_table()

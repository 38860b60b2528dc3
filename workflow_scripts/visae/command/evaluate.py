"""A study's config with one more sweep: an SAE that was trained elsewhere."""

import yaml

from visae.base.errors import UserError
from visae.base.files import write_text
from visae.study.config_files import read_config
from visae.study.storage import of_blocks
from visae.study.study import Study


def with_sae(folder, config, backbone, layer=None, reading=None, family=None, k=None):
    """Write the config of the study with the SAE in `folder` as a sweep of its own.

    The SAE has the metrics of the first sweep on its backbone, and the storage of its block.

    config: path of the study's config; the new one lies beside it. layer: block; None for the
    backbone's. reading: what the files leave open, as `reading` of a sweep. family, k: of the SAE,
    where its files do not say.

    Returns:
        (path of the new config, the target that scores the SAE: the study's table of scores)

    Raises:
        UserError: no such backbone, or a folder that is not understood.
    """
    folder = folder if folder.is_dir() else folder.parent  # of the file that was named
    given = read_config(config)
    study = Study(given)
    if backbone not in study.backbones:
        raise UserError(
            f"{config} has no backbone '{backbone}': name one of {', '.join(study.backbones)}"
        )
    taken = {sae.name for sae in study.saes()} | given["sweeps"].keys()
    name = _free_name(folder.resolve().name, taken)
    open_left = {key: value for key, value in (("family", family), ("k", k)) if value is not None}
    own = str(folder.resolve())
    first = next((key for key, sweep in study.sweeps.items() if backbone in sweep.layers), None)
    metrics = given["sweeps"].get(first, {}).get("metrics")
    block = study.backbones[backbone]["layer"] if layer is None else layer
    kept = of_blocks(study).get((backbone, block))
    sweep = {
        "backbones": [backbone],
        **({} if layer is None else {"layer": layer}),
        **({"metrics": [*metrics]} if metrics else {}),
        **({"storage": kept} if kept not in (None, study.config["storage"]) else {}),
        "saes": {name: {"folder": own, **open_left} if open_left else own},
        **({"reading": reading} if reading else {}),
    }
    extended = given | {"sweeps": given["sweeps"] | {name: sweep}}
    try:
        Study(extended)  # what the files leave open is told before anything is written
    except UserError as error:
        how = "; reading.KEY is said with --reading KEY=VALUE" if "reading." in str(error) else ""
        raise UserError(f"{error}{how}") from error
    path = config.with_name(f"{config.stem}_with_{name}{config.suffix}")
    write_text(path, yaml.safe_dump(extended, sort_keys=False))
    return path, study.paths.table("scores", "csv")


def read_options(options):
    """{key: value} of `KEY=VALUE` texts, with values as YAML has them. UserError without a `=`."""
    found = {}
    for option in options:
        key, sign, value = option.partition("=")
        if not (key and sign and value):
            raise UserError(f"--reading is {option!r}: write KEY=VALUE, such as library=sae_lens")
        found[key] = yaml.safe_load(value)
    return found


def _free_name(name, taken):
    """A name that a sweep and an SAE may have, made of a folder's."""
    kept = "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_")
    kept = kept if kept[:1].isalpha() else f"sae_{kept}".rstrip("_")
    number, free = 2, kept
    while free in taken:
        free, number = f"{kept}_{number}", number + 1
    return free

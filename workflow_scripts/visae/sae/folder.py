"""What lies beside an SAE's weights, to be read without torch: `config.yaml`, `training.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from visae.base.errors import UserError
from visae.base.paths import SAE_FILES
from visae.base.seals import read_text_of

FORMAT = "visae-sae-3"
WEIGHTS, CONFIG, LOG = SAE_FILES
CURE = "remove its folder and train this SAE again"


def read_config(path: str | Path) -> dict[str, Any]:
    """The content of the `config.yaml` at `path`; UserError unless the weights beside it agree."""
    try:
        config = yaml.safe_load(read_text_of(Path(path).with_name(WEIGHTS), CONFIG, CURE))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not YAML ({error}): {CURE}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f"{path} is not of format {FORMAT}: {CURE}")
    return config


def read_warnings(folder: str | Path) -> list[str]:
    """The `warnings` of the SAE in `folder`, without its weights."""
    return list(read_config(Path(folder) / CONFIG).get("warnings", []))


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The windows in the `training.jsonl` at `path`; none for an imported SAE.

    Raises UserError unless the weights beside it agree.
    """
    text = read_text_of(Path(path).with_name(WEIGHTS), LOG, CURE)
    return [json.loads(line) for line in text.splitlines()]

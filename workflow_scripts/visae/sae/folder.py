"""What lies beside an SAE's weights, to be read without torch: `config.yaml`, `training.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visae.base.errors import UserError
from visae.base.paths import SAE_FILES
from visae.base.reading import guarded, parse_json_lines, parse_yaml
from visae.base.seals import read_text_of
from visae.sae.specs import SaeSpec

FORMAT = "visae-sae-3"
WEIGHTS, CONFIG, LOG = SAE_FILES
CURE = "remove its folder and train this SAE again"


def read_config(path: str | Path) -> dict[str, Any]:
    """The content of the `config.yaml` at `path`; UserError unless the weights beside it agree."""
    with guarded(path, "YAML", CURE):
        config = parse_yaml(read_text_of(Path(path).with_name(WEIGHTS), CONFIG, CURE))
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f"{path} is not of format {FORMAT}: {CURE}")
    return config


def spec_of(config: Mapping[str, Any]) -> SaeSpec:
    """The SaeSpec of what `read_config` read."""
    sizes = config["activation"], config["expansion_factor"], config["sparsity"]
    spec = SaeSpec(*sizes, label=config["name"])
    return spec if spec.configuration != spec.label else SaeSpec(*sizes)


def read_warnings(folder: str | Path) -> list[str]:
    """The `warnings` of the SAE in `folder`, without its weights."""
    return list(read_config(Path(folder) / CONFIG).get("warnings", []))


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The windows in the `training.jsonl` at `path`; none for an imported SAE.

    Raises UserError unless the weights beside it agree.
    """
    text = read_text_of(Path(path).with_name(WEIGHTS), LOG, CURE)
    return parse_json_lines(text, path, CURE)

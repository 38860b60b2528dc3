"""The floats that caches store activations in: chosen per backbone, `storage` in its config entry.

Massive activations of some transformers lie beyond float16, or so far from 0 that float16 has too
few digits for them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Storage:
    """bytes: of a number. bits: significant ones. largest: finite number."""

    bytes: int
    bits: int
    largest: float


STORAGES = {
    "float16": Storage(2, 11, 65504.0),
    "bfloat16": Storage(2, 8, 2.0**128 - 2.0**120),
    "float32": Storage(4, 24, 2.0**128 - 2.0**104),
}
"""By name, as the config and the files say it."""

DEFAULT = "float16"


def too_large(
    backbone: str, storage: str, value: float, channel: int, where: str, over: int, width: int
) -> str:
    """The sentence about a value beyond `storage`, with the settings that help.

    where: block and image. over: how many of the `width` channels are too large there.
    """
    able = [name for name, each in STORAGES.items() if each.largest >= abs(value)]
    cure = (
        f"set `backbones.{backbone}.storage` to {said(able)}, or `backbones.{backbone}.layer` to a "
        "block without such values"
        if able
        else "check its weights"
    )
    return (
        f"backbone {backbone} gives {value:,.0f} in channel {channel} {where} ({over} of {width} "
        f"channels are too large there), and its caches store {storage}, up to "
        f"{STORAGES[storage].largest:,.0f}: {cure}"
    )


def said(names: list[str]) -> str:
    """Storages with what they cost: `bfloat16 (2 bytes a number, 8 significant bits) or …`."""
    each = ((name, STORAGES[name]) for name in names)
    return " or ".join(
        f"{n} ({s.bytes} bytes a number, {s.bits} significant bits)" for n, s in each
    )

"""What pages read beside them: data in scripts, since a page opened as a file may not fetch."""

import base64
import json

import numpy as np

from visae.base.files import write_text

_DIGITS = 4


def write_script(path, name, value):
    """A script that hands `value` to the page as `visae.{name}`."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    write_text(path, f'(self.visae ??= {{}})["{name}"] = {text};\n')


def read_script(path):
    """The value in a script that `write_script` wrote."""
    text = path.read_text(encoding="utf-8").partition(" = ")[2]
    return json.loads(text.rstrip().removesuffix(";"))


def bytes_of(map_hw, largest):
    """Base64 of a byte per patch: 0 if silent, else 1 to 255 in proportion to the code."""
    share = np.abs(map_hw) / largest
    levels = np.where(share > 0, np.clip(np.round(255 * share), 1, 255), 0)
    return base64_of(levels.astype(np.uint8))


def base64_of(array):
    """The bytes of an array as text."""
    return base64.b64encode(array.tobytes()).decode("ascii")


def rounded(values):
    """An array as a list of `four_digits`."""
    return [four_digits(value) for value in values.tolist()]


def four_digits(value):
    """A number with four significant digits; None for NaN."""
    return None if np.isnan(value) else float(f"{value:.{_DIGITS}g}")

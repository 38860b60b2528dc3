"""SAEs whose codes may be negative: which values are defined for them.

Reductions hold the magnitudes of such codes. Errors and reconstructions have their sign, so that
FVU and preservation are defined. Whatever reads features pooled by their maximum, or counts where
they are active, takes a larger code for more of the feature: its value is null, with the reason.
"""

from dataclasses import replace

OF_RECONSTRUCTIONS = ("fvu", "preservation")

REASON = (
    "codes of this SAE may be negative, and the value is defined for features that are larger the "
    "more they are there"
)


def without_value(result):
    """A result with null for its value and readings, and the reason."""
    return replace(result, value=None, reason=REASON, readings=dict.fromkeys(result.readings))

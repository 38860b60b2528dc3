"""SAEs whose codes may be negative: which values are defined for them.

Reductions hold the magnitudes of such codes. Errors and reconstructions have their sign, so that
FVU and preservation are defined. Whatever reads features pooled by their maximum, or counts where
they are active, takes a larger code for more of the feature: its value is null, with the reason.
"""

from dataclasses import replace

REASON = (
    "codes of this SAE may be negative, and the value is defined for features that are larger the "
    "more they are there"
)


def only_defined(found, entry):
    """What an eval found for an SAE with negative codes: null where it is not defined.

    found: the `Result` of a metric, or the results of a task by representation, of which that of
    the codes is not defined. entry: the `Eval`.
    """
    if isinstance(found, dict):
        return found | {name: without_value(found[name]) for name in ("codes",) if name in found}
    return found if entry.signed_codes else without_value(found)


def without_value(result):
    """A result with null for its value and readings, and the reason."""
    return replace(result, value=None, reason=REASON, readings=dict.fromkeys(result.readings))

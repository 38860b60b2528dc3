"""How many features of two SAEs match, and how strongly, against images that are shuffled."""

from visae.audit.cards import MATCHES
from visae.base.reading import guarded
from visae.base.seals import read_document
from visae.tables.layout import Column, Table

_SIDES = ("left", "right")


def matches_table(cards, labels):
    """One row per `card.json` of a pair (docs/formats.md), in their order.

    labels: backbone → its name in figures. Raises UserError where a card is damaged.
    """
    return Table(
        "Matches: features of two SAEs that are each other's best by correlation",
        (
            *(Column(f"{side}_backbone", f"{side} backbone") for side in _SIDES),
            *(Column(f"{side}_sae", f"{side} SAE") for side in _SIDES),
            *_columns("", "images"),
            *_columns("patch_", "patches"),
            Column("apart", "why no patches"),
        ),
        [_row(path) for path in cards],
        notes=(
            "A match is above the control where its correlation exceeds a quantile of the best "
            "ones that shuffled images reach, among features that fire as often.",
            "Shares are of the features that are live on the items compared. The control is the "
            "larger of the two sides' shares with shuffled images.",
            f"Backbones: {', '.join(f'{name} = {label}' for name, label in labels.items())}.",
        ),
    )


def _columns(prefix, items):
    """The columns of one kind of comparison."""
    before = "patches: " if prefix else ""
    return (
        Column(f"{prefix}items", items),
        *(Column(f"{prefix}{side}_live", f"{before}live {side}") for side in _SIDES),
        Column(f"{prefix}mutual", f"{before}mutual best"),
        Column(f"{prefix}above", f"{before}above control"),
        *(Column(f"{prefix}{side}_share", f"{before}share {side}", digits=3) for side in _SIDES),
        Column(f"{prefix}control", f"{before}control", digits=3),
        Column(f"{prefix}median", f"{before}median r", digits=3),
    )


def _row(path):
    card = read_document(path, MATCHES)
    with guarded(path, "a card of matches"):
        row = {"apart": card["apart"]}
        for side in _SIDES:
            backbone, _, sae = card[side].split("/")
            row |= {f"{side}_backbone": backbone, f"{side}_sae": sae}
        return (
            row
            | _values("", card["kinds"]["images"])
            | _values("patch_", card["kinds"].get("patches"))
        )


def _values(prefix, found):
    """The values of one kind of comparison, None where it was not made."""
    values = dict.fromkeys([column.key for column in _columns(prefix, "")])
    if found is not None:
        values |= {f"{prefix}{key}": found[key] for key in ("items", "mutual", "above", "median")}
        values[f"{prefix}control"] = max(found["control"])
        for side, live, share in zip(_SIDES, found["live"], found["shares"], strict=True):
            values |= {f"{prefix}{side}_live": live, f"{prefix}{side}_share": share}
    return values

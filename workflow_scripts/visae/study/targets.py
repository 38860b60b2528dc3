"""Targets of the command line that nothing makes, named before Snakemake looks for rules."""

import difflib
import re
from pathlib import Path

from visae.base.errors import UserError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

GATHERING = {"all", "saes", "metrics", "tables", "figures", "features", "index", "export"}
"""Rules that run nothing: they only ask for what others make. So do those of a subject."""


def check(arguments, known, others):
    """Refuse a target that is no rule, where one is alike, or where other studies make it.

    arguments: the words of the command after `snakemake`. known: the rules of this study. others:
    the products that it does not make → why.

    Raises:
        UserError: naming the target and what may be meant.
    """
    words = [word for word in arguments if NAME.fullmatch(word) and word not in known]
    close = {word: difflib.get_close_matches(word, [*known, *others], n=3) for word in words}
    if not any(close.values()):
        return
    # Which words are targets and which are values of options is known to Snakemake's own parser.
    # Building it takes a quarter of a second, which only a command like this one pays.
    from snakemake.cli import get_argument_parser

    for target in get_argument_parser().parse_known_args(arguments)[0].targets:
        if Path(target).exists() or not close.get(target):
            continue
        if target in others:
            raise UserError(
                f"'{target}' is not made for this study: it {others[target]}; "
                "`snakemake --cores 1 --list` names what can be asked for"
            )
        raise UserError(
            f"there is no target '{target}': did you mean {' or '.join(close[target])}? "
            "`snakemake --cores 1 --list` names all"
        )


def asked_for(folders, files):
    """Whether any of a run's `files` lies in one of `folders`."""
    return any(Path(file).is_relative_to(folder) for file in files for folder in folders)

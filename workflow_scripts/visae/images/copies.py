"""Splits that share pictures: one file in both, or equal content under two names.

Scores on one of them would leak from the other. Equal names mean nothing: `train/cat/1.jpg` and
`val/cat/1.jpg` may be two pictures.
"""

import itertools
from collections import defaultdict
from multiprocessing.pool import ThreadPool

from visae.base.errors import UserError
from visae.base.progress import counted
from visae.images import contents

TOLERATED = 0.01
"""Copies as a share of the smaller split. Large data sets are published with a few."""

_READERS = 16  # a shared file system answers many at once


def check_disjoint(splits):
    """Refuse splits (name → ImageIndex) that hold one file.

    Raises:
        UserError: naming both splits and one of the shared images.
    """
    owner = {}
    for name, index in splits.items():
        for record in index.images:
            other = owner.setdefault(record.path, name)
            if other != name:
                raise UserError(
                    f"The splits '{other}' and '{name}' overlap: both hold the image "
                    f"'{record.image_id}' ({record.path}), so scores on one would leak from the "
                    "other; choose splits without common images."
                )


def find_copies(root, splits):
    """(split, path, other split, path there) of pictures with equal bytes in two splits.

    Each picture of the earlier split is named once per other split. Sizes are compared first, then
    the files' ends, and at last the whole.

    Raises:
        UserError: a file cannot be opened.
    """
    alike = [[(name, r.path) for name, index in splits.items() for r in index.images]]
    keys = (
        contents.size_of,
        lambda path: contents.digest_of(path, whole=False),
        lambda path: contents.digest_of(path, whole=True),
    )
    with ThreadPool(_READERS) as readers:
        for key in keys:
            alike = _divided(root, alike, key, readers)
    found = []
    for group in alike:
        first = {}
        for name, path in group:
            first.setdefault(name, path)
        found += [(*one, *other) for one, other in itertools.combinations(first.items(), 2)]
    return found


def check_copies(root, splits):
    """Refuse splits whose pictures are each other's copies, beyond what is `TOLERATED`.

    Returns a sentence on those that are tolerated, or None.

    Raises:
        UserError: naming both splits, a picture and its copy, and how many there are.
    """
    by_pair = defaultdict(list)
    for one, path, other, copy in find_copies(root, splits):
        by_pair[one, other].append((path, copy))
    told = []
    for (one, other), pairs in by_pair.items():
        path, copy = pairs[0]
        sentence = (
            f"The splits '{one}' and '{other}' of {root} share {len(pairs)} picture(s) of equal "
            f"content, the first is {path} = {copy}"
        )
        if len(pairs) > TOLERATED * min(len(splits[name].images) for name in (one, other)):
            raise UserError(
                f"{sentence}: scores on one would leak from the other, so remove the copies from "
                "one of the two."
            )
        told.append(sentence + ".")
    return "\n".join(told) or None


def _divided(root, groups, key, readers):
    """`groups` of (split, path), each cut by `key`; only what is alike in two splits is kept."""
    asked = [path for group in groups for _, path in group]
    try:
        answers = readers.imap(lambda path: key(f"{root}/{path}"), asked, chunksize=64)
        answers = counted(answers, "pictures compared", len(asked))
        divided = defaultdict(list)
        for number, group in enumerate(groups):
            for member in group:
                if answer := next(answers):  # an empty file is nobody's copy
                    divided[number, answer].append(member)
    except OSError as error:
        raise UserError(
            f"An image of {root} cannot be opened ({error}): unpack the data set again, or "
            "correct the file's permissions or link."
        ) from error
    return [group for group in divided.values() if len({name for name, _ in group}) > 1]

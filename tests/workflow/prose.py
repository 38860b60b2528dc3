"""The sentences of a Markdown file, without code, tables and headings.

python tests/workflow/prose.py README.md docs/*.md     # those above 25 words, longest first
"""

import re
import sys
from pathlib import Path

WORDS = 25
"""A sentence of ours has at most so many words."""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_STARTS_ITEM = re.compile(r"^\s*(?:[-*]|\d{1,2}\.)\s+")
_END = re.compile(r"(?<=[.!?])[*_)\"]*\s+(?=[A-Z`\[*(«„\"0-9])|(?<=:)\s*$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def sentences(text):
    """Every sentence of `text`, whose list items and paragraphs end one."""
    blocks, lines = [], []
    for line in [*_FENCE.sub("\n", text).splitlines(), ""]:
        line = line.removeprefix("> ")
        skipped = not line.strip() or line.lstrip().startswith(("|", "#", "<", "!["))
        if skipped or _STARTS_ITEM.match(line):
            blocks.append(" ".join(lines))
            lines = []
        if not skipped:
            lines.append(_STARTS_ITEM.sub("", line, count=1).strip())
    for block in blocks:
        for sentence in _END.split(_LINK.sub(_shown, block)):
            if sentence.strip():
                yield sentence.strip()


def _shown(link):
    """What a reader sees of a link: its text, where that is a path as one word."""
    return link[1] if " " in link[1] else f"`{link[1].strip('`')}`"


def words(sentence):
    """How many words a sentence has; what is in backticks is one."""
    return len(re.sub(r"`[^`]*`", "code", sentence).split())


if __name__ == "__main__":
    found = [
        (words(sentence), path, sentence)
        for path in sys.argv[1:]
        for sentence in sentences(Path(path).read_text("utf-8"))
    ]
    for count, path, sentence in sorted(found, reverse=True):
        if count > WORDS:
            print(f"{count} {path}: {sentence}")

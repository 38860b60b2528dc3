"""What is kept of a pretraining besides the weights: its log, and what it was worth."""

import json

from visae.base.reading import parse_json_lines
from visae.base.seals import (
    made_of,
    read_document,
    read_text_beside,
    write_beside,
    write_document,
)

LOG_FORMAT, SANITY_FORMAT = "visae-pretraining-log-1", "visae-sanity-1"


def write_log(path, records, inputs=()):
    """Write `log.jsonl`, a line per record; inputs: the files that it belongs to."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    write_beside(path, LOG_FORMAT, lines, made_of(path, inputs))


def read_log(path):
    """The records that `write_log` wrote; UserError where they are damaged or others'."""
    return parse_json_lines(read_text_beside(path, LOG_FORMAT), path)


def write_sanity(path, report, inputs=()):
    """Write `sanity.json`, what `sanity.report` says; inputs: the files that it belongs to."""
    write_document(path, SANITY_FORMAT, report, made_of(path, inputs))


def read_sanity(path):
    """What `write_sanity` wrote; UserError where it is damaged or another's."""
    return read_document(path, SANITY_FORMAT)

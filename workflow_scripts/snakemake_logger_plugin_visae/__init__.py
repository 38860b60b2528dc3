"""A logger for Snakemake that says where a config file is wrong: the file, the line, the cure.

Snakemake reads the files of `--configfile` before the Snakefile, and says neither name nor line of
what is no YAML. `profiles/default` switches this logger on where Snakemake finds it installed. It
listens beside Snakemake's own, in the process of the command alone: jobs load no logger.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    """After an error of Snakemake's: what is wrong with the config files of the command."""

    # What Snakemake writes itself stays, and so does its filter for `--quiet`.
    writes_to_stream = writes_to_file = property(lambda self: False)
    has_filter = has_formatter = needs_rulegraph = property(lambda self: False)

    def emit(self, record: LogRecord) -> None:
        if getattr(record, "event", None) != LogEvent.ERROR:
            return
        stream = sys.stdout if self.common_settings.stdout else sys.stderr  # as Snakemake's own
        for sentence in wrong_configs(sys.argv[1:]):
            if sentence not in record.getMessage():
                print(sentence, file=stream)


def wrong_configs(words: Sequence[str]) -> Iterator[str]:
    """A sentence for each config file that cannot be read, of those that a command names.

    words: the command's, without `snakemake`. Config files of its profiles count too.
    """
    from snakemake.cli import parse_args

    from visae.base.errors import UserError
    from visae.study.config_files import read_config

    with redirect_stderr(io.StringIO()):  # Snakemake has said already which profiles it uses
        _, options = parse_args(words)
    for path in options.configfile or ():
        if path.is_fifo() or path.is_char_device():
            continue  # a pipe is read once
        try:
            read_config(path)
        except UserError as error:
            yield str(error)

"""What programs say of themselves: `python show_help.py PROGRAM…`, all in one process."""

import contextlib
import runpy
import sys
from pathlib import Path

for program in sys.argv[1:]:
    print(f"{program}:", flush=True)
    sys.argv = [program, "--help"]
    sys.path[0] = str(Path(program).resolve().parent)
    with contextlib.suppress(SystemExit):
        runpy.run_path(program, run_name="__main__")

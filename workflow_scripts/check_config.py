"""Check config files without running Snakemake.

    python workflow_scripts/check_config.py my.yaml

Several files are merged as `--configfile` merges them. What is wrong is said with file and line.
"""

import sys

from visae.base.errors import UserError
from visae.study.config_files import located, read_config
from visae.study.study import Study


def main(paths):
    """Check the merged files; the sentence for the terminal."""
    from snakemake.utils import update_config

    config = {}
    for path in paths:
        update_config(config, read_config(path))
    try:
        study = Study(config)
    except UserError as error:
        raise UserError(located(str(error), paths)) from None
    saes = len(study.saes())
    return f"{' + '.join(paths)}: the study '{study.name}' with {saes} SAEs is well formed"


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    try:
        print(main(sys.argv[1:]))
    except UserError as problem:
        sys.exit(f"✗ {problem}")

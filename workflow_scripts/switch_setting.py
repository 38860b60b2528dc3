"""Prepare a copy of a finished study with one setting switched; without an arm, print their names.

python workflow_scripts/switch_setting.py profiles/miniature/study.yaml loss
"""

import sys

from visae.base.errors import UserError
from visae.study.arms import prepare
from visae.study.config_files import read_config


def main(config_path, *arm):
    try:
        config = read_config(config_path)
        print(prepare(config, *arm) if arm else " ".join(config.get("arms", {})))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Write the config of a study's replicate: the same study with other seeds of the pretraining.

python workflow_scripts/replicate_study.py profiles/miniature/study.yaml 2 results/miniature_2.yaml
"""

import sys

import yaml

from visae.base.files import write_text
from visae.study.config import replicated
from visae.study.config_files import read_config


def main(config_path, number, replicate_path):
    config = replicated(read_config(config_path), int(number))
    text = yaml.safe_dump(config, sort_keys=False)
    write_text(replicate_path, text)


if __name__ == "__main__":
    main(*sys.argv[1:])

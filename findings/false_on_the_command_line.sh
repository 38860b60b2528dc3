#!/usr/bin/env bash
# Versions: snakemake 9.27.1; Python 3.11 or newer.
#
# Data: settings given once in a config file and once by `--config`, in the same words.
#
# Guess: both are read as YAML, so that `resume=false`, `layers=[3, 7]` and `sae={dead: false}` mean the same.
# Seen: by `--config` false is the text "false", which is true where a workflow asks `if config["resume"]`. Numbers in lists
#   and below keys are texts as well. Alone on the right a number is a number: 007 is 7 there, and so it is in YAML.
#   `False` alone is false. A key of one letter, such as k=32, is refused as no "valid identifier".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > Snakefile <<'SNAKEFILE'
from pathlib import Path

with Path("read.txt").open("a") as file:
    print(dict(sorted(config.items())), "resumes" if config.get("resume") else "", file=file)


rule nothing:
    shell:
        "true"
SNAKEFILE
printf 'resume: false\nlayers: [3, 7]\nsae: {dead: false}\nnumber: 007\n' > settings.yaml
"$python" -m snakemake --version
said() { rm -f read.txt; "$python" -m snakemake --dry-run "$@" > log.txt 2>&1; sed -n 1p read.txt; }
by_file=$(said --configfile settings.yaml)
by_words=$(said --config resume=false 'layers=[3, 7]' 'sae={dead: false}' number=007)
capital=$(said --config resume=False)
[ -z "$(said --config k=32 2> /dev/null)" ]
echo "by a file:   $by_file"
echo "by --config: $by_words"
echo "capital:     $capital"
grep "identifier" log.txt
[ "$by_file" = "{'layers': [3, 7], 'number': 7, 'resume': False, 'sae': {'dead': False}} " ]
[ "$by_words" = "{'layers': ['3', '7'], 'number': 7, 'resume': 'false', 'sae': {'dead': 'false'}} resumes" ]
[ "$capital" = "{'resume': False} " ]
echo "as stated"

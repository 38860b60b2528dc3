#!/usr/bin/env bash
# Versions: snakemake 9.27.1; Python 3.11 or newer.
#
# Data: a config file with a slip: a bracket that is opened in line 2 is never closed.
#
# Guess: `snakemake --configfile` passes on what the YAML parser says, with the line.
# Seen: the message names neither the file nor the line, and suspects tabs. PyYAML's error, which names
#   both, is caught and dropped. The file is read before the Snakefile, so that no workflow can say more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
printf 'a: 1\nb: [1, 2\nc: 3\n' > bad.yaml
printf 'rule all:\n    shell: "true"\n' > Snakefile
"$python" -m snakemake --version
"$python" -m snakemake --configfile bad.yaml --dry-run > said.txt 2>&1 && exit 1
"$python" -c 'import yaml; yaml.safe_load(open("bad.yaml"))' > parser.txt 2>&1 && exit 1
cat said.txt
tail -4 parser.txt
grep -q "not valid JSON or YAML" said.txt
grep -qE "bad.yaml|line [0-9]" said.txt && exit 1  # not `! grep`, which `set -e` passes over
grep -q 'in "bad.yaml", line 3' parser.txt
echo "as stated"

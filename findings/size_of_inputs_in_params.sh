#!/usr/bin/env bash
# Versions: snakemake 9.27.1; Python 3.11 or newer.
#
# Data: an input file of 20 MB, and a folder that holds a file of 20 MB. A rule asks for `input.size_mb`.
#
# Guess: `lambda wildcards, input: input.size_mb` may stand wherever Snakemake takes such a function. The size of a
#   folder is that of its files.
# Seen: in `resources` and `threads` it works. In `params` the run ends with "Error running coroutine in event loop … If
#   you run Snakemake e.g. from a Jupyter notebook". There is none. `os.path.getsize(input[0])` works in `params`.
#   A folder counts as 0.004 MB, whatever is in it, so that memory by the size of inputs is far too small.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
mkdir inside
dd if=/dev/zero of=file bs=1M count=20 status=none
cp file inside/file
cat > Snakefile <<'SNAKEFILE'
import os


rule asked_in_resources:
    input:
        "{which}",
    output:
        "{which,file|inside}.resources",
    threads: lambda wildcards, input: 1 + (input.size_mb > 10)
    resources:
        mem_mb=lambda wildcards, input: 1 + int(input.size_mb),
    shell:
        "echo {threads} {resources.mem_mb} > {output}"


rule asked_in_params:
    input:
        "file",
    output:
        "file.params",
    params:
        size=lambda wildcards, input: input.size_mb,
    shell:
        "echo {params.size} > {output}"


rule asked_of_python:
    input:
        "file",
    output:
        "file.python",
    params:
        size=lambda wildcards, input: os.path.getsize(input[0]) >> 20,
    shell:
        "echo {params.size} > {output}"
SNAKEFILE
"$python" -m snakemake --version
"$python" -m snakemake --cores 2 --quiet all -- file.resources inside.resources file.python
for file in file.resources inside.resources file.python; do echo "$file: $(cat $file)"; done
if "$python" -m snakemake --cores 2 file.params > said.txt 2>&1; then exit 1; fi
grep -A 1 "NestedCoroutineError" said.txt
[ "$(cat file.resources)" = "2 21" ]
[ "$(cat inside.resources)" = "1 1" ]
[ "$(cat file.python)" = "20" ]
grep -q "Error running coroutine in event loop" said.txt
echo "as stated"

#!/usr/bin/env bash
# Versions: snakemake 9.27.1; Python 3.11 or newer.
#
# Results are taken to a machine whose clock is behind, so that an input is dated a little ahead of now.
# `snakemake --touch` is to mark the existing outputs as up to date.
#
# Guess: touching changes times and records, and never a file's content; at worst the output still
#   counts as older than its input.
# Seen: the job fails, since the touched output is older than its input, and Snakemake then removes the
#   output: the result is lost by a command that computes nothing. With --keep-incomplete it stays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > Snakefile <<'SNAKEFILE'
rule result:
    input:
        "data.txt",
    output:
        "result.txt",
    shell:
        "cp {input} {output}"
SNAKEFILE
"$python" -m snakemake --version
for kept in "" --keep-incomplete; do
  echo "days of work" > data.txt
  rm -f result.txt
  "$python" -m snakemake --cores 1 --quiet all
  touch -d tomorrow data.txt
  if "$python" -m snakemake --cores 1 --touch --forceall $kept > touch.log 2>&1; then echo "no error"; else echo "an error"; fi
  if [ -e result.txt ]; then echo "with '$kept': result.txt is there"; else echo "with '$kept': result.txt is gone"; fi
done | tee seen.txt
[ "$(cat seen.txt)" = "an error
with '': result.txt is gone
an error
with '--keep-incomplete': result.txt is there" ]
echo "as described"

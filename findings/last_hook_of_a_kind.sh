#!/usr/bin/env bash
# Versions: snakemake 9.27.1; Python 3.11 or newer.
#
# A workflow has an `onstart:` block in its Snakefile and another in a file that it includes: one checks
# that the disk is large enough, the other writes down the settings.
#
# Guess: both run, as both of two rules do; or a second block is refused, as a second rule of one name is.
# Seen: only the block that was read last runs. The other one is dropped, and nothing says so. The same
#   holds for `onsuccess:`. Two rules of one name are refused with a sentence.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > checks.smk <<'SNAKEFILE'
onstart:
    open("checked.txt", "w").close()


onsuccess:
    open("told.txt", "w").close()
SNAKEFILE
cat > Snakefile <<'SNAKEFILE'
include: "checks.smk"


onstart:
    open("written_down.txt", "w").close()


onsuccess:
    open("thanked.txt", "w").close()


rule made:
    output:
        "made.txt",
    shell:
        "touch {output}"
SNAKEFILE
"$python" -m snakemake --version
"$python" -m snakemake --cores 1 > run.log 2>&1
ls ./*.txt
[ "$(echo ./*.txt)" = "./made.txt ./thanked.txt ./written_down.txt" ]
if grep -i "onstart\|onsuccess\|hook" run.log; then exit 1; fi
printf '\n\nrule made:\n    output:\n        "again.txt",\n' >> Snakefile
if "$python" -m snakemake --cores 1 -n > again.log 2>&1; then exit 1; fi
grep -o "The name made is already used by another rule" again.log
echo "as described"

#!/usr/bin/env bash
# Versions: snakemake 9.27.1; Python 3.11 or newer.
#
# A Python script of a rule imports a module that lies in the script's own folder, as many workflows do.
# In the same environment another copy of that module is installed, e.g. of an older clone.
#
# Guess: the script's own folder comes first on the path, as for `python scripts/hello.py`.
# Seen: `script:` appends the folder to the end of sys.path, behind site-packages. The installed copy is
#   imported, and nothing says so. Run by Python itself, the same script imports its neighbour.
#   With the folder in PYTHONPATH the neighbour is imported in both cases.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
mkdir -p "$folder/workflow/scripts"
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo 'WHOSE = "the installed copy"' > "$site/neighbour_of_a_script.py"
cd "$folder/workflow"
echo 'WHOSE = "the copy beside the script"' > scripts/neighbour_of_a_script.py
cat > scripts/hello.py <<'PYTHON'
from neighbour_of_a_script import WHOSE

said = globals().get("snakemake")
open(said.output[0] if said else "by_python.txt", "w").write(WHOSE)
PYTHON
cat > Snakefile <<'SNAKEFILE'
rule hello:
    output:
        "{name}.txt",
    script:
        "scripts/hello.py"
SNAKEFILE
"$python" -m snakemake --version
"$python" -m snakemake --quiet all --cores 1 by_rule.txt
PYTHONPATH=$PWD/scripts "$python" -m snakemake --quiet all --cores 1 by_rule_with_path.txt
"$python" scripts/hello.py
for file in by_rule by_rule_with_path by_python; do echo "$file: $(cat $file.txt)"; done
[ "$(cat by_rule.txt)" = "the installed copy" ]
[ "$(cat by_rule_with_path.txt)" = "the copy beside the script" ]
[ "$(cat by_python.txt)" = "the copy beside the script" ]
echo "as described"

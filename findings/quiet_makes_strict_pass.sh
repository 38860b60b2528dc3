#!/usr/bin/env bash
# Versions: mkdocs 1.6.1; Python 3.11 or newer.
#
# Data: one page with a link to a page that is missing.
#
# Guess: `mkdocs build --strict --quiet` prints less, and fails all the same.
# Seen: it prints nothing and exits with 0. Strict counts the warnings that are logged, and quiet raises
#   the level of the log above warnings. Without --quiet the exit status is 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check mkdocs==1.6.1
mkdir "$folder/docs"
echo "A [link](missing.md)." > "$folder/docs/index.md"
echo "site_name: x" > "$folder/mkdocs.yml"
cd "$folder"
quiet=0; venv/bin/mkdocs build --strict --quiet || quiet=$?
loud=0; venv/bin/mkdocs build --strict &> log || loud=$?
echo "mkdocs 1.6.1: exit status $quiet with --quiet, $loud without"
grep "Aborted with" log
test "$quiet" = 0
test "$loud" = 1
echo "as stated"

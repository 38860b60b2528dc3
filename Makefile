# make demo: the study in miniature. make test: the tests. Both set up .venv first, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: demo test lint bench clean

$(READY): requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt -r requirements-dev.txt
	touch $@

demo: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/demo 2>&1 | $(BIN)/python profiles/demo/progress.py

# Two test files at a time, each on one thread: faster than one at a time on two threads.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	PATH="$(abspath $(BIN)):$$PATH" snakemake --lint
	PATH="$(abspath $(BIN)):$$PATH" snakemake --lint --configfile profiles/demo/study.yaml --replace-workflow-config

bench: $(READY)
	for benchmark in benchmarks/bench_{encoding,metrics,training}.py; do PYTHONPATH=workflow_scripts $(BIN)/python $$benchmark; done

clean:
	rm -rf results/demo

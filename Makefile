# make demo: the study in miniature. make test: the tests. Both set up .venv first, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: demo miniature as-run demo-slurm plan paper-shapes docs test mutants lint bench bench-gpu clean

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	# Compiled here once: where Python may not write bytecode, every job would compile what it imports.
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	$(BIN)/python -m compileall -q workflow_scripts
	OMP_NUM_THREADS=1 PYTHONPATH=workflow_scripts $(BIN)/python envs/compile_kernels.py
	touch $@

demo: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/demo 2>&1 | $(BIN)/python -m visae.command.follow

# The replicates first: the study itself sets their scores beside its own.
miniature: $(READY)
	for number in 2 3; do \
		PYTHONPATH=workflow_scripts $(BIN)/python workflow_scripts/replicate_study.py profiles/miniature/study.yaml $$number results/miniature_$$number/study.yaml; \
		PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/miniature --configfile results/miniature_$$number/study.yaml -- metrics results/miniature_$$number/tables/scores.csv 2>&1 | $(BIN)/python -m visae.command.follow; \
	done
	PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/miniature 2>&1 | $(BIN)/python -m visae.command.follow

# What each setting of the paper's public code changes: three seeds of a study, then each again with one
# setting at a time, in a copy that shares what does not depend on it. PROFILE=miniature for the larger one.
PROFILE ?= as_run
as-run: $(READY)
	run() { PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/$(PROFILE) "$$@" 2>&1 | $(BIN)/python -m visae.command.follow; }; \
	script() { PYTHONPATH=workflow_scripts $(BIN)/python workflow_scripts/"$$@"; }; \
	first=$$(sed -n 's/^study: //p' profiles/$(PROFILE)/study.yaml); \
	for number in 1 2 3; do \
		config=profiles/$(PROFILE)/study.yaml; study=$$first; \
		if [ $$number != 1 ]; then \
			study=$${first}_$$number; config=results/$$study/study.yaml; \
			script replicate_study.py profiles/$(PROFILE)/study.yaml $$number $$config; \
		fi; \
		scores=results/$$study/tables/scores/main.csv; \
		run --configfile $$config -- $$scores; \
		for arm in $$(script switch_setting.py $$config); do \
			folder=$$(script switch_setting.py $$config $$arm); \
			run --directory $$folder --configfile $$folder/study.yaml -- $$scores; \
		done; \
	done; \
	run -- as_run

# The same study through a Slurm of this machine's own (tests/slurm_cluster.py), where root can start one.
demo-slurm: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python tests/slurm_demo.py

# What the study of config.yaml will cost: disk, work, time. Nothing of it is run.
plan: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/local --quiet all -- plan

# The paper's five architectures and its SAEs' dimensions on a few images; then peak memory by stage.
paper-shapes: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" snakemake --profile profiles/paper_shapes -- metrics 2>&1 | $(BIN)/python -m visae.command.follow
	$(BIN)/python profiles/paper_shapes/peak_memory.py results/paper_shapes/benchmarks

# The documentation as a site, in site/: read it without a server. A link that leads nowhere is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "The documentation: site/index.html"

# Two test files at a time, each on one thread: faster than one at a time on two threads. The files in
# the order of tests/workflow/conftest.py: what takes long comes first.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Small faults in the code: which of them do the tests not see?
mutants: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutation/mutants.py

lint: $(READY) docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	PATH="$(abspath $(BIN)):$$PATH" snakemake --lint
	PATH="$(abspath $(BIN)):$$PATH" snakemake --lint --configfile profiles/demo/study.yaml

bench: $(READY)
	for benchmark in benchmarks/bench_{planning,encoding,extraction,reading,probes,evaluation,training,downstream,features,matching}.py; do PYTHONPATH=workflow_scripts $(BIN)/python $$benchmark; done

# On a machine with a GPU: a table, and the same as bench_gpu.json.
bench-gpu: $(READY)
	PYTHONPATH=workflow_scripts $(BIN)/python benchmarks/bench_gpu.py

clean:
	rm -rf site results/demo results/demo_slurm results/miniature* results/as_run_arms* results/paper_shapes

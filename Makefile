# make run          installs the package and runs the quickstart
# make test         linters, types, import contracts, and all tests but the long ones
# make test-long    the long tests
# make lint         linters, types, import contracts
# make kernels      compiles the kernels of the batched simulator for this machine
# make docs         writes docs/columns.md
# make chaos        fifty sweeps with seeded faults, each of which must end with the same bits; half an hour or more
# make bench        times gradients of this package and its peers, in a separate venv; minutes
# make bench-sweep  times whole sweeps here and in Ray Tune, and the scheduler with simulated workers; minutes
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run test test-long kernels lint docs bench bench-sweep chaos clean

run: $(INSTALLED)
	$(BIN)/orchestrator run jobs/quickstart.yaml

test: $(INSTALLED)
	$(MAKE) --jobs 2 lint kernels
	$(BIN)/pytest --numprocesses 2 --no-loadscope-reorder

kernels: $(INSTALLED)
	$(BIN)/python tests/support/kernels.py

test-long: $(INSTALLED)
	$(BIN)/pytest -m long

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	$(BIN)/python -m orchestrator.tables.columns > docs/columns.md

chaos: $(INSTALLED)
	$(BIN)/python tests/support/chaos.py

bench: .venv-bench/.installed
	.venv-bench/bin/python -m benchmarks.gradients

bench-sweep: .venv-bench/.installed
	.venv-bench/bin/python -m benchmarks.sweep
	.venv-bench/bin/python -m benchmarks.scale

.venv-bench/.installed: pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable . -r benchmarks/requirements.txt
	@touch $@

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv .venv-bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

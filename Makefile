# Every target sets up what it needs in .venv; `uv` is used when it is there.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
UV     := $(shell command -v uv 2>/dev/null)

.PHONY: help demo test check soak bench format clean setup

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## create .venv with everything for work on the project

$(STAMP): pyproject.toml
ifeq ($(UV),)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
else
	uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --editable . --group dev
endif
	@touch $(STAMP)

demo: $(STAMP)  ## a caller talks to a LiveKit agent through a custom vendor, on this machine alone
	$(BIN)/voxport demo

test: $(STAMP)  ## the tests (under 5 minutes on 2 cores)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not soak"

check: $(STAMP)  ## format, lint, types, import directions, documented commands
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=src:examples $(BIN)/mypy examples
	MYPYPATH=src:benchmarks $(BIN)/mypy benchmarks
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_documentation.py

format: $(STAMP)  ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: $(STAMP)  ## the long schedules and fuzzers
	$(BIN)/python -m pytest -q -n 2 -m soak --timeout 3600

clean:  ## remove .venv and what the tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-output

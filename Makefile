# `make demo` and `make test` do all their own set-up in a virtual environment; they need Python >= 3.10 and make.
PYTHON ?= python3
# PyTorch threads that wait busily only for a moment, as in selbench/cli/main.py.
export GOMP_SPINCOUNT ?= 20000
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all lint bench clean

demo: $(READY)
	$(BIN)/selbench demo

test: lint
	$(BIN)/pytest -q

test-all: lint
	$(BIN)/pytest -q -m "slow or not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# PyTorch comes first and pinned: left to the other packages, pip may choose a build that pulls gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info

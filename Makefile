# `make demo` and `make test` do all their own set-up in a virtual environment; they need a Python 3.10 to 3.13 and make.
# Which Python: the first that is found, or make demo PYTHON=python3.12. Only some tests: make test TESTS=tests/store.
PYTHON ?=
TESTS ?=
# PyTorch threads that wait busily only for a moment, as in selbench/cli/main.py.
export GOMP_SPINCOUNT ?= 20000
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all test-long lint bench environment weights clean

demo: environment
	$(BIN)/selbench demo

test: lint weights
ifeq ($(TESTS),)
	.ci/test
else
	$(BIN)/pytest -q $(TESTS)
endif

test-all: lint weights
	$(BIN)/pytest -q -m "not long" $(TESTS)

# Clusters started on this machine, which lose jobs and nodes. SLURM needs root, and installs Debian's packages with apt-get.
test-long: environment weights
	$(BIN)/pytest -q -m long --durations=0 $(TESTS)

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: environment
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

weights: environment
	@sh .ci/weights

environment:
	@PYTHON='$(PYTHON)' sh .ci/setup

clean:
	rm -rf $(VENV) build *.egg-info

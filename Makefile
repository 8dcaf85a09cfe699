# Environment, checks and builds. Each target makes what it needs; a second call installs nothing.
# The tests run in two processes of one thread each: with more, the libraries' waiting threads take each other's cores.
# ARGS is handed on: make verify ARGS="softmax --strict", make test ARGS="-k hinge".

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help verify test lint format wheel clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

verify: $(INSTALLED)  ## hold every pair against its twin (gradtwin verify)
	$(BIN)/gradtwin verify $(ARGS)

test: $(INSTALLED)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(INSTALLED)  ## ruff's checks and format, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff format and repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(INSTALLED)  ## build a wheel into dist/
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove the environment, builds and caches; runs/ and data stay
	rm -rf $(VENV) build dist gradtwin.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find scratch ref compare tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "gradtwin: no $(PYTHON) here; install Python 3.11 or newer, or name one: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gradtwin: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "gradtwin: $(PYTHON) has no venv; install it (Debian, Ubuntu: package python3-venv) or name another: make PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	@touch $@

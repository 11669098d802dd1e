# Two commands for a fresh clone: `make run` and `make test`. Both may be repeated.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# A relative data folder would mean another place in every test's own directory.
ifdef PRIVAUDIT_DATA
export PRIVAUDIT_DATA := $(abspath $(PRIVAUDIT_DATA))
endif

.PHONY: run test lint types check-contract unit docs help clean
help:
	@echo "make run    install into $(VENV), run the main job on embedded data, print the table"
	@echo "make test   install into $(VENV), then lint, types, contract check and all tests"
	@echo "make docs   build the documentation as a site, notebooks run: docs/_build/index.html"
	@echo "VENV=DIR    use another (or an existing) environment;  PYTHON=...  to create it with"

run: $(VENV)/.privaudit-run
	@$(BIN)/privaudit run quickstart

test: lint types check-contract unit

lint: $(VENV)/.privaudit-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.privaudit-dev
	$(BIN)/mypy

check-contract: $(VENV)/.privaudit-dev
	$(BIN)/python contracts/compile.py --check
	$(BIN)/python contracts/gas.py --check

# Frameworks whose pins conflict with ours live beside it; all that they do not bring is ours.
FLOWER := flwr[simulation]==1.42.0
NVFLARE := nvflare==2.9.0
export PRIVAUDIT_FLOWER = $(abspath $(VENV)-flower)
export PRIVAUDIT_NVFLARE = $(abspath $(VENV)-nvflare)

unit: $(VENV)/.privaudit-dev $(VENV)-flower/.ready $(VENV)-nvflare/.ready
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --durations=30 --durations-min=10

# A test builds the same, warnings as errors (tests/docs/test_site.py).
docs: $(VENV)/.privaudit-dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "privaudit needs Python 3.11 or newer; '$(PYTHON)' is missing or older. Try: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "This Python cannot create environments. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.privaudit-run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.privaudit-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), with the tools for tests ..."
	@$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.privaudit-run

$(VENV)-flower/.ready: FRAMEWORK = $(FLOWER)
$(VENV)-nvflare/.ready: FRAMEWORK = $(NVFLARE)
$(VENV)-%/.ready: Makefile $(VENV)/.privaudit-dev
	@echo "installing $(FRAMEWORK) into $(VENV)-$* ..."
	@$(PYTHON) -m venv $(VENV)-$*
	@$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check '$(FRAMEWORK)'
	@$(BIN)/python tests/support/beside.py $(VENV)-$*
	@touch $@

clean:
	rm -rf docs/_build $(VENV) $(VENV)-flower $(VENV)-nvflare .venv-wheel build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Every target makes what it needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help quickstart install check test test-flavors bench bench-starts bench-peers crash faults flows import-campaign environment-campaign docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.run  ## the whole story on this machine: train, package, deploy, predict, swap
	@$(BIN)/servery quickstart

install: $(VENV)/.dev  ## the development environment, in .venv

check: $(VENV)/.dev  ## style, types and import layers
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

test: check $(VENV)/.browser  ## check, then all tests, a file at a time on each of two cores
	$(BIN)/pytest --numprocesses 2 --dist loadfile

$(VENV)/.browser: | $(VENV)/.dev
	$(BIN)/python -m tests.browser.chromium
	@touch $@

test-flavors: $(VENV)/.dev  ## every flavor with every release that is tried, each group's environment made from nothing
	rm -rf .flavors
	$(BIN)/python -m tests.flavors.matrix --write

crash: $(VENV)/.dev  ## kill the registry at every writing system call, in all of its operations
	$(BIN)/python -m tests.crash.campaign

faults: $(VENV)/.dev  ## 100 swaps, and a minute of killed workers, at half of capacity
	$(BIN)/python -m tests.e2e.campaign

flows: $(VENV)/.dev  ## a gigabyte of Arrow through an identity model, and the memory that it takes
	$(BIN)/python -m tests.flows.campaign

import-campaign: $(VENV)/.dev  ## 20 models of 5 versions from a real MLflow server, in one go and killed at random moments
	$(BIN)/python -m tests.anywhere.campaign

environment-campaign: $(VENV)/.dev  ## 40 builds of a real environment killed at random moments, and all that is left looked at
	$(BIN)/python -m tests.environments.campaign

bench: $(VENV)/.dev  ## requests a second and latency, beside a floor measured in the same run
	$(BIN)/python -m bench

bench-starts: $(VENV)/.dev  ## from nothing to the first answer, beside mlflow; a new environment, beside uv alone
	$(BIN)/python -m bench.starts

bench-peers: $(VENV)/.dev  ## the same beside mlflow and Triton, each in its own environment
	$(BIN)/python -m bench --peers

docs: $(VENV)/.dev  ## the documentation's site, in site/
	$(BIN)/mkdocs build --strict

clean:  ## remove what the other targets made
	rm -rf $(VENV) .tools .flavors site bench/.peers

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/bin/python: | $(filter .tools/bin/uv,$(UV))
	$(UV) venv --quiet --python $(PYTHON) $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[sklearn]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[sklearn]' --group dev
	@touch $@ $(VENV)/.run

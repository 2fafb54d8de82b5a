# `make` lists the targets. Variables: PYTHON (python3.11), TORCH=cpu|cuda (by default what the machine has),
# ARGS (more arguments for pytest or snakemake).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
TORCH ?= auto
ARGS ?=
VENV := .venv

export PYTHON TORCH
ifneq ($(wildcard $(VENV)/trainers),)
export SALTERN_NEQUIP := $(CURDIR)/$(VENV)/trainers/nequip/bin
export SALTERN_MACE := $(CURDIR)/$(VENV)/trainers/mace/bin
export SALTERN_SEVENNET := $(CURDIR)/$(VENV)/trainers/sevennet/bin
endif
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help env dev demo test trainers faults lint format lock clean distclean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 18

env:  ## set up .venv: Saltern and the pinned versions of what it needs (1 to 3 minutes)
	@envs/install.sh $(VENV) core

dev:  ## set up .venv with the test tools too
	@envs/install.sh $(VENV) dev

demo: env  ## run the demo campaign and print its summary (at most 8 minutes on two cores)
	@saltern run config/demo.yaml -- $(ARGS)
	@cat results/demo/summary.txt

test: dev  ## run all tests (ARGS="-k name" for some of them)
	@OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile $(ARGS)

trainers: dev  ## install NequIP, MACE and SevenNet beside .venv: networks of theirs, and tests with exported datasets
	@envs/trainers.sh $(VENV) $(VENV)/trainers

faults: dev  ## inject more than 100 faults into campaigns, write docs/results/faults.md (root, CP2K, SLURM; an hour)
	@OMP_NUM_THREADS=1 pytest tests/faults -m "faults or not faults" -n 2 --dist loadgroup --faults-table docs/results/faults.md $(ARGS)

lint: dev  ## check style, types, import order and the workflow's form
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile config/demo.yaml

format: dev  ## rewrite the sources in the project's style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

lock: $(VENV)/bin/pip  ## resolve pyproject.toml anew into envs/ (ARGS=--upgrade for the newest versions)
	@pip install --quiet --disable-pip-version-check --requirement envs/uv.txt
	envs/lock.sh $(ARGS)

$(VENV)/bin/pip:
	@envs/install.sh $(VENV) dev

clean:  ## remove caches, keep results and .venv
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too; results stay
	rm -rf $(VENV) src/*.egg-info

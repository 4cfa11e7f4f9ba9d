# Everything a newcomer types. Each target sets up what it needs first: uv, then .venv from uv.lock.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
PY := .venv/bin/python
# Tests and the demo start many processes: what these import is compiled once.
unexport PYTHONDONTWRITEBYTECODE
READY := .venv/.ready

.PHONY: help demo up test check check-az bench lock

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.tools/bin/uv:
	python3 -m pip install --quiet --disable-pip-version-check --target .tools uv

$(READY): pyproject.toml uv.lock $(if $(findstring .tools,$(UV)),| .tools/bin/uv)
	$(UV) sync --locked --quiet --compile-bytecode
	@touch $@

demo: $(READY) ## play the story on this machine: who gets a prediction and who does not, and why
	$(PY) -m local.demo

up: $(READY) ## run the local stack in the foreground; Ctrl-C stops it
	$(PY) -m local.stack

test: $(READY) ## run every test
	$(PY) -m pytest

check: $(READY) ## format, lint, types, import contracts, generated files, links in docs
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(UV) lock --check --quiet
	$(UV) export --frozen --quiet $(EXPORT) | diff requirements.txt -
	$(PY) -m tests.meta.links

AZURE_CLI := 2.91.0
AZ_READY := .tools/az/.azure-cli-$(AZURE_CLI)

# In an environment of its own: it is large, and nothing of it comes near the gate's.
$(AZ_READY): | $(READY)
	$(UV) venv --quiet --clear --python $(PY) .tools/az
	$(UV) pip install --quiet --python .tools/az/bin/python azure-cli==$(AZURE_CLI)
	@touch $@

check-az: $(READY) $(AZ_READY) ## the real az client takes every command that a bypass report prints; runs none
	$(PY) -m tests.az.printed | .tools/az/bin/python -I -W ignore tests/az/taken.py

bench: $(READY) ## measure side by side; writes bench/results.md
	$(PY) -m bench

EXPORT := --no-dev --no-hashes --no-emit-project --no-header --no-annotate

lock: $(if $(findstring .tools,$(UV)),| .tools/bin/uv) ## after a change of dependencies: uv.lock and requirements.txt
	$(UV) lock
	$(UV) export --frozen --quiet $(EXPORT) --output-file requirements.txt

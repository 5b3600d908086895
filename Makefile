# Wearables data platform. `make` lists what there is.
#
# Everything runs in .venv, made from hashed lock files by whichever target needs it. Variables: SEED and SABOTAGE
# (demo), ONLY, PROFILE and KAFKA_URL (bench), ARGS (pytest), PYTHON (the interpreter to make .venv with).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-real up up-real down status doctor test check bench lint types definitions docs-test docs dashboards sql-docs sql-release proto proto-release lock secrets ci clean

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
SOURCES := wearables_platform stream wearables_platform_tests .ci
ARGS ?=
# Tests mostly wait for servers: more workers than cores. Each worker has servers of its own.
WORKERS ?= 3
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate --generate-hashes

# uv reads no pip configuration: hand it the index pip was told to use, and the machine's own certificates.
export UV_SYSTEM_CERTS := 1
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo  ## run the whole platform and print the scorecard (SEED=n, SABOTAGE=drop-message)
	@$(BIN)/wearables demo $(if $(SEED),--seed $(SEED)) $(if $(SABOTAGE),--sabotage $(SABOTAGE))

demo-real: $(VENV)/.installed-ci  ## the same on Apache Kafka, two brokers behind HAProxy, S3 (.ci/run install, once)
	@$(BIN)/python .ci/real_tier.py --platform -- $(BIN)/wearables demo $(if $(SEED),--seed $(SEED))

up-real: $(VENV)/.installed-ci  ## the platform with live data on these servers, until Ctrl-C
	@$(BIN)/python .ci/real_tier.py --platform -- $(BIN)/wearables up --live

up: $(VENV)/.installed-demo  ## start the platform with live data and leave it running
	@$(BIN)/wearables up --detach --live

down: $(VENV)/.installed-demo  ## end the running platform
	@$(BIN)/wearables down

status: $(VENV)/.installed-demo  ## show what runs and the counts per stage
	@$(BIN)/wearables status

doctor: $(VENV)/.installed-demo  ## check this machine
	@$(BIN)/wearables doctor

test: $(VENV)/.installed-dev  ## run every test; starts the embedded servers itself (ARGS="-k name")
	$(PYTEST) -q -n $(WORKERS) --dist loadfile -m "not demo and not browser" $(ARGS)

definitions: $(VENV)/.installed-dev  ## load and validate Dagster's definitions
	$(BIN)/dagster definitions validate -w workspace.yaml

check: lint types definitions docs-test  ## lint, types, docs and the tests that need no server
	$(PYTEST) -q wearables_platform_tests/unit wearables_platform_tests/laws wearables_platform_tests/test_architecture.py

bench: $(VENV)/.installed-dev  ## run the benchmarks (ONLY=P1,P2, PROFILE=bar, KAFKA_URL=kafka://host:port)
	$(BIN)/python -m wearables_platform_tests.benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(KAFKA_URL),--kafka-url $(KAFKA_URL))

lint: $(VENV)/.installed-dev  ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/.installed-dev  ## mypy, strict
	$(BIN)/mypy

docs-test: $(VENV)/.installed-dev  ## the examples in docstrings, and that docs name what exists
	$(PYTEST) -q --doctest-modules wearables_platform/signals wearables_platform/domain wearables_platform/wire
	$(PYTEST) -q wearables_platform_tests/test_docs.py wearables_platform_tests/test_docs_text.py

docs: $(VENV)/.installed-dev  ## write the tables in docs/ anew from the code
	$(BIN)/python -m wearables_platform_tests.generated_docs

dashboards: $(VENV)/.installed-dev  ## write the dashboards and alert rules of Grafana anew from their description
	$(BIN)/python -m wearables_platform.dashboards.build

sql-docs: $(VENV)/.installed-dev  ## write the reference in docs/sql.md anew from the migrations
	$(BIN)/python -m wearables_platform_tests.sql_contract reference

sql-release: $(VENV)/.installed-dev  ## make the present analytics views those later versions must not break
	$(BIN)/python -m wearables_platform_tests.sql_contract release

proto: $(VENV)/.installed-dev  ## write the code generated from proto/ anew
	$(BIN)/python -m wearables_platform_tests.schema generate

proto-release: $(VENV)/.installed-dev  ## make the present schema the one later versions must not break
	$(BIN)/python -m wearables_platform_tests.schema release

lock: $(VENV)/.bootstrapped  ## resolve requirements/*.txt anew, with hashes and without index lines
	$(LOCK) --extra ci pyproject.toml -o requirements/ci.txt
	@# What is installed anywhere is what was tested: the smaller sets take the versions of the largest.
	$(LOCK) --constraint requirements/ci.txt --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) --constraint requirements/ci.txt --extra demo pyproject.toml -o requirements/demo.txt
	$(LOCK) --constraint requirements/ci.txt --extra spark pyproject.toml -o requirements/spark.txt
	$(LOCK) --constraint requirements/ci.txt pyproject.toml -o requirements/runtime.txt
	$(LOCK) --constraint requirements/ci.txt requirements/client.in -o requirements/client.txt
	$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt

secrets: $(VENV)/.installed-demo  ## draw what docker-compose.yml needs into ./secrets; what is there stays
	@$(BIN)/wearables secrets secrets

ci:  ## exactly what CI runs
	.ci/run

clean:  ## end the running platform and remove what it and the tests left (not .venv)
	@if [ -x $(BIN)/wearables ]; then $(BIN)/wearables down 2>/dev/null || true; fi
	rm -rf .wearables .wearables-sabotaged .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

# --- the environment ---------------------------------------------------------------------------------------------

# What the processes are made of.
IMPORTED := import importlib; [importlib.import_module(name) for name in ( \
  'wearables_platform.bridge.process', 'wearables_platform.ingest.process', 'wearables_platform.archive.process', \
  'stream.process', 'wearables_platform.api.process', 'wearables_platform.models.artifacts', \
  'wearables_platform.definitions', 'dagster._cli', 'dagster._daemon.cli', 'dagster_webserver.cli', \
  'wearables_platform.demo.run', 'wearables_platform.commands.up', 'wearables_platform.commands.run')]

# The stamp comes last: an interrupted install is taken up again.
$(VENV)/.installed-%: requirements/%.txt pyproject.toml $(VENV)/.bootstrapped
	@echo "installing requirements/$*.txt"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements/$*.txt \
	  || { echo "uv could not; trying pip"; $(BIN)/python -m pip install --require-hashes -r requirements/$*.txt; }
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "compiling"
	@# Python's own bytecode, too: without it a start takes three times as long. uv writes none, and some environments
	@# ask Python for none; what the processes import is compiled here, once.
	@# Both at once: each is one processor's work, and what both write is put in place whole.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m stream.warm & kernels=$$!; \
	  PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "$(IMPORTED)" && wait $$kernels
	@touch $@

$(VENV)/.bootstrapped: requirements/bootstrap.txt
	@$(call make_venv)
	@echo "installing the installer"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

# Bytewax has wheels for CPython 3.11 and 3.12. A .venv whose pip works is kept, a half-made one is made again.
define make_venv
if $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
suitable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'; \
for candidate in $(PYTHON) python3.12 python3.11 python3; do \
  if $$candidate -c "$$suitable" >/dev/null 2>&1; then \
    echo "making $(VENV) with $$($$candidate --version)"; \
    $$candidate -m venv --clear $(VENV); exit 0; \
  fi; \
done; \
echo "no Python 3.11 or 3.12 with the venv module was found (tried $(PYTHON) python3.12 python3.11 python3): install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
exit 1
endef

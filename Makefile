# The one door to this repository: every target makes or refreshes its own virtual environment first.
# Needed: make and Python 3.11 or newer with its venv module. `make PYTHON=/path/to/python` chooses another one.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Tests run in this many processes; many of them wait for a daemon more than they compute.
JOBS ?= 3
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input

# What tests need besides Python is fetched. Where that fails they say what they lack; under CI nothing may be missing.
OR_GO_ON = || { [ -z "$${CI:-}" ] || exit 1; echo "going on without: the tests concerned will say so" >&2; }

export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: help demo test test-full coverage receivers slow-programs lint format bench requirements clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.runtime ## Run the daemon against the built-in vendor simulators.
	@$(BIN)/collector demo $(ARGS)

test: $(VENV)/.dev receivers ## Run the tests, less the slow groups; ARGS="-k name" goes to pytest.
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

test-full: $(VENV)/.dev receivers slow-programs ## Run all tests.
	@PATH="$$PWD/.tools/tenzir/bin:$$PATH" $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

coverage: $(VENV)/.dev receivers ## Run the tests with branch coverage; less than 90 % fails.
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow" --cov --cov-fail-under=90 $(ARGS)

receivers: ## Fetch a real rsyslog and syslog-ng for the tests into .tools (Debian, Ubuntu); nothing is installed.
	@tests/receivers.sh .tools/receivers $(OR_GO_ON)

slow-programs: $(VENV)/.dev ## Install what only the slow tests need.
	@tests/slow_programs.sh .tools/tenzir $(BIN)/python $(OR_GO_ON)

lint: $(VENV)/.dev ## Check style, format, types, layers and the installed dependencies.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "not formatted; run: make format" >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@out=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$out"; exit 1; }
	@$(PIP) check
	@echo "lint: ok"

format: $(VENV)/.dev ## Format the code, repair what can be repaired.
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/.dev ## Run the benchmarks.
	@$(BIN)/python -m tests.bench $(ARGS)

# Resolved against the public registry alone, whatever this machine is set up to use besides it.
COMPILE = env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
	CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/pip-compile --quiet --no-config --generate-hashes \
	--allow-unsafe --strip-extras --annotation-style=line --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options

requirements: $(VENV)/.dev ## Compile requirements/*.txt again; ARGS="--upgrade" takes newer versions.
	@$(COMPILE) $(ARGS) -o requirements/build.txt requirements/build.in
	@$(COMPILE) $(ARGS) -o requirements/runtime.txt pyproject.toml
	@$(COMPILE) $(ARGS) --extra dev -c requirements/runtime.txt -c requirements/build.txt \
		-o requirements/dev.txt pyproject.toml

clean: ## Remove the virtual environment, caches and what the demo wrote.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* .tools demo-output

# -- the virtual environment -------------------------------------------------------------------

# Names of interpreters in the order in which they are tried; a name that is there may still not run (pyenv's shims).
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)

# An environment whose interpreter has gone (an upgrade of the system) is made again.
$(shell [ ! -e $(VENV)/.python ] || $(BIN)/python -c '' >/dev/null 2>&1 || rm -f $(VENV)/.python)

$(VENV)/.python:
	@found=""; \
	for name in $(PYTHONS); do \
		if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$name"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer is needed and was not found (tried: $(PYTHONS))." >&2; \
		echo "Install it (Debian, Ubuntu: apt install python3 python3-venv), or say where it is: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
		echo "$$found lacks the venv module (Debian, Ubuntu: apt install python3-venv)." >&2; \
		exit 1; \
	fi; \
	"$$found" -m venv --clear $(VENV); \
	touch $@

$(VENV)/.runtime: $(VENV)/.python requirements/runtime.txt requirements/build.txt pyproject.toml
	@if [ ! -e $(VENV)/.dev ] || [ requirements/runtime.txt -nt $(VENV)/.dev ]; then \
		echo "installing what the collector needs into $(VENV)"; \
		$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt; \
	fi
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.python requirements/dev.txt pyproject.toml
	@echo "installing what development needs into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

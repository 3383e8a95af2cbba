# Works from nothing but Python 3.11 or newer, pip and make, as root or not.
# `make PYTHON=/path/to/python3.12 ...` chooses another Python.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serve sandbox check test lint docs lock clean FORCE

VENV := .venv
BIN := $(VENV)/bin
SUITS := -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python $(SUITS) && command -v $$python && break; done)

# Settings of the user's that would make pip refuse, or install elsewhere.
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PYTHONHOME PYTHONPATH
export PIP_USER := 0
export PIP_REQUIRE_HASHES := 0
export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The file `ready` is away while an installation runs. So an environment that was interrupted,
# whose Python is gone, or that was copied here from another directory is made anew.
READY := $(shell $(BIN)/python -c 'print(open("$(VENV)/ready").read().strip())' 2>/dev/null)
ifneq ($(READY),$(CURDIR))
STALE := FORCE
endif

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: $(VENV)/embedded ## Show the service at work against doubles of Autotask and Microsoft Graph
	@$(BIN)/python -m app demo $(ARGS)

serve: $(VENV)/embedded ## Run the service; see .env.example for what it needs
	@$(BIN)/python -m app serve $(ARGS)

sandbox: $(VENV)/embedded ## Run the doubles of Autotask and Microsoft Graph to try the service against
	@$(BIN)/python -m app sandbox $(ARGS)

check: lint ## Run before each commit, a minute and a half: lint, and the tests without a database
	@$(BIN)/python -m pytest -q -n 2 -m "not database and not process and not wait" $(ARGS)

test: $(VENV)/dev ## Run all tests; ARGS="-k name" runs some
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

lint: $(VENV)/dev ## Check style, format, imports and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(VENV)/dev ## Write docs/configuration.md anew, from the settings
	@$(BIN)/python -m tests.support.configuration

lock: ## Write requirements/*.txt anew; needs uv; ARGS=--upgrade moves the versions
	@$(UV) --version || { echo 'make lock needs uv: pip install uv' >&2; exit 1; }
	$(call compile,dev,--extra embedded --group dev)
	$(call compile,embedded,--extra embedded --constraint requirements/dev.txt)
	$(call compile,runtime,--constraint requirements/dev.txt)

clean: ## Remove the environment and the caches, not the data
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

UV := $(shell command -v uv || echo $(BIN)/uv)
# setuptools is what `pip install --no-build-isolation` builds this package with.
define compile
@echo 'Locking requirements/$(1).txt'
@echo 'setuptools>=80' | $(UV) pip compile --quiet pyproject.toml - $(2) $(ARGS) \
	--universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' --output-file requirements/$(1).txt >/dev/null
endef

# A Python without ensurepip, as Debian's without python3-venv, lends the environment its own pip.
define install
@set -e; python='$(PYTHON)'; \
"$$python" $(SUITS) || { echo 'Needed: Python 3.11 or newer; make PYTHON=... names it' >&2; exit 1; }; \
if [ -n '$(STALE)' ]; then \
	echo "Making the virtual environment $(VENV) with $$python"; \
	rm -rf $(VENV); \
	"$$python" -c 'import ensurepip' 2>/dev/null || without=--without-pip; \
	"$$python" -m venv $$without $(VENV); \
fi; \
rm -f $(VENV)/ready; \
echo 'Installing requirements/$(1).txt; the first time this takes a minute or so'; \
set -- $(BIN)/python -m pip; \
"$$@" --version >/dev/null 2>&1 || set -- "$$python" -m pip --python $(BIN)/python; \
"$$@" install -qq --require-hashes -r requirements/$(1).txt; \
"$$@" install -qq --no-deps --no-build-isolation -e .; \
echo '$(CURDIR)' > $(VENV)/ready; \
touch $(2)
endef

$(VENV)/embedded: requirements/embedded.txt pyproject.toml $(STALE)
	$(call install,embedded,$@)

$(VENV)/dev: requirements/dev.txt pyproject.toml $(STALE)
	$(call install,dev,$@ $(VENV)/embedded)

FORCE:

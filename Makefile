# Mainstem's commands. `make` alone lists them.
#
# `run` and `test` set themselves up: they need make, Python 3.11+ and a package index, nothing else. The virtual
# environment is .venv; a stamp in it remembers what was installed, so that a second call costs nothing and a changed
# lock installs again. PYTHON=/path/to/python chooses the interpreter, ARGS="…" hands words to the command.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help run setup setup-run setup-dev test test-faults bench lint types layers fmt lock clean

PY := .venv/bin/python
# uv trusts what the machine trusts, as other programs do (a firm's proxy signs with the firm's own certificate).
export UV_SYSTEM_CERTS ?= 1
# Compiled modules are kept: tests start many processes, and each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE
ARGS ?=
OUR_CODE := hub connectors crm_store router desk workers mainstem $(wildcard benchmarks)

help: ## list the commands
	@printf '\n  \033[1mMainstem\033[0m\n\n'
	@grep -hE '^[a-z-]+:.*## ' Makefile | while IFS= read -r line; do \
		printf '  \033[36mmake %-12s\033[0m %s\n' "$${line%%:*}" "$${line##*## }"; done
	@printf '\n'

## — to use it —

run: setup-run ## set up, then start everything (mainstem up) on PORT, 8080 unless set
	@exec $(PY) -m mainstem up $(ARGS)

## — to work on it —

setup: setup-dev ## only set up: .venv with all that running and testing needs

test: setup-dev ## all tests but the slow ones, with PostgreSQL and Chromium where they are
	@$(PY) -m pytest -n 3 --dist loadfile -m "not slow" $(ARGS)

test-faults: setup-dev ## real processes killed, frozen and starved; takes minutes
	@$(PY) -m pytest tests/faults $(ARGS); faults=$$?; \
		$(PY) -m pytest tests -m slow --ignore tests/faults $(ARGS) && exit $$faults

bench: setup-dev ## every benchmark, with its figures
	@$(PY) -m benchmarks $(ARGS)

lint: setup-dev ## formatting and lint
	@$(PY) -m ruff format --check --quiet . || { echo "Formatting differs: make fmt" >&2; exit 1; }
	@$(PY) -m ruff check --quiet . && echo "Formatting and lint: clean."

types: setup-dev ## strict types
	@$(PY) -m mypy $(OUR_CODE)

layers: setup-dev ## the direction of imports between the rooms
	@.venv/bin/lint-imports

fmt: setup-dev ## format, and mend what lint can mend
	@$(PY) -m ruff check --quiet --fix-only . ; $(PY) -m ruff format .

# --universal: one file for every platform and Python. No header, no index: a lock names packages, not places.
COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" $(ARGS)

lock: setup-dev ## resolve pyproject.toml again into requirements/ (ARGS=--upgrade for newer versions)
	@$(COMPILE) pyproject.toml --group build --extra postgres -o requirements/run.txt
	@$(COMPILE) pyproject.toml --group build --extra postgres --extra dev -c requirements/run.txt -o requirements/dev.txt
	@echo uv | $(COMPILE) - -o requirements/uv.txt
	@echo "Locked. make setup installs it."

clean: ## remove .venv and everything that tools leave (never var/)
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean."

# ---------------------------------------------------------------------------------------------------------- set-up

# The first that is 3.11 or newer and can make environments. The newest Pythons come last: not every wheel is there
# on the day a Python comes out.
FIND_PYTHON = for python in $${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do \
		"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Mainstem needs Python 3.11 or newer with its venv module (Debian: apt-get install python3 python3-venv)." >&2; \
		echo "If it has another name or place: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi

# $(call install,FLAVOUR,WHAT): bring .venv to requirements/FLAVOUR.txt. The stamps hold what the result depends on: the
# locks, and the description of our own package. An environment that was moved with its folder is made anew.
define install
@set -eu; unset PYTHONHOME PYTHONPATH VIRTUAL_ENV || true; \
stamp=".venv/.mainstem-$(1)"; \
want="$$(cat requirements/uv.txt requirements/$(1).txt | cksum)"; \
ours="$$(cksum < pyproject.toml)"; \
if ! { [ -f .venv/.place ] && [ "$$(cat .venv/.place)" = "$$(pwd)" ] && $(PY) -c '' 2>/dev/null; }; then \
	$(FIND_PYTHON); \
	echo "Set-up: .venv with $$("$$python" --version)"; \
	rm -rf .venv; "$$python" -m venv .venv; pwd > .venv/.place; \
fi; \
if [ "$$(cat "$$stamp" 2>/dev/null || true)" != "$$want" ]; then \
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt; \
	echo "Set-up: $$(grep -c '==' requirements/$(1).txt) packages $(2)"; \
	$(PY) -m uv pip install --quiet --python $(PY) --require-hashes --compile-bytecode -r requirements/$(1).txt || { \
		echo "Set-up: uv could not; trying pip, which may know another package index" >&2; \
		$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/$(1).txt; \
	}; \
	echo "$$want" > "$$stamp"; \
fi; \
if [ "$$(cat .venv/.ours 2>/dev/null || true)" != "$$ours" ]; then \
	$(PY) -m uv pip install --quiet --python $(PY) --offline --no-deps --no-build-isolation -e .; \
	echo "$$ours" > .venv/.ours; \
	echo "Set-up: done"; \
fi
endef

# Development has all that running has: where it is up to date, running needs no look of its own.
setup-run:
	@if [ -f .venv/.mainstem-dev ]; then $(MAKE) setup-dev; else $(MAKE) .setup-run; fi

setup-dev:
	$(call install,dev,to run and test)

.PHONY: .setup-run
.setup-run:
	$(call install,run,to run)

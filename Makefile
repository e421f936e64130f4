# Needs Python 3.11 or newer and make; everything else is set up in .venv by the target that needs it.
#
#   make demo     the file processing workflow on real files     make demo ARGS="--json /some/folder"
#   make test     the tests                                      make test ARGS="-k queue -x"
#   make docs     the site, in build/site: open build/site/index.html
#   make bench    the measurements        make lint, make types  the checkers        make clean  all made things go
#
# PYTHON=python3.12 chooses an interpreter, which then has an environment of its own; VENV=folder says where.

.DEFAULT_GOAL := help
.PHONY: help demo test docs bench lint types clean FORCE

ARGS ?=
everything = --numprocesses auto --dist worksteal

# Newest first, but `python3` last: where it is an old one, a python3.12 beside it is often not. Each is run, not only
# looked up, for a version manager's shim can exist and refuse; ensurepip is what Debian leaves out of its python3.
suitable = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
ifeq ($(origin PYTHON),undefined)
candidates = python3.14 python3.13 python3.12 python3.11 python3 python
VENV ?= .venv
else
candidates = $(PYTHON)
VENV ?= .venv-$(subst /,_,$(PYTHON))
endif
BIN = $(VENV)/bin

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.run
	@$(BIN)/amachine demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(everything))

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# pyright reads the environment whose python is first on the path; its --verifytypes knows no other way.
types: $(VENV)/.dev
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" pyright
	PATH="$(abspath $(BIN)):$$PATH" python .ci/complete_types.py

clean:
	rm -rf .venv .venv-* build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment, and what the demo, the developers and the site need in it.
$(VENV)/.made:
	@for python in $(candidates); do \
		if "$$python" -c $(suitable) 2>/dev/null; then \
			echo "making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear "$(VENV)" && touch $@; exit $$?; \
		fi; \
	done; \
	echo "amachine needs Python 3.11 or newer (with its venv module; on Debian and Ubuntu: apt install python3-venv)" \
		"and found none among: $(candidates)." \
		"If it is elsewhere, say where: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(VENV)/.run: $(VENV)/.made pyproject.toml
	@echo "installing amachine into $(VENV)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	@echo "installing amachine and its development tools into $(VENV) (a minute, the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.run $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	@echo "installing amachine and what builds its site into $(VENV)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[docs]'
	@touch $(VENV)/.run $@

# An environment whose interpreter is gone is made anew.
ifneq ($(wildcard $(VENV)/.made),)
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
$(VENV)/.made: FORCE
endif
endif

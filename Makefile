# make test   set up the environment and run every check, test and notebook
# make lab    set up the environment and open the first notebook in JupyterLab
# make book   build the book of all lessons and the reference into .book/html
# make playground   build the page in which a cluster runs in the browser, into .playground, and
#                   serve it on 127.0.0.1 (needs npm, which Node.js brings)
# make notebooks   run all notebooks and store their outputs
#
# The environment is .venv in this folder.  Choose another interpreter with PYTHON=python3.13: the
# environment is then made anew.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Lessons need less than tests do, and what tests need has to be there for fewer platforms.  A stamp
# says what was installed, and for which Python.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
LAB := $(VENV)/.ready-lab-$(VERSION)
DEV := $(VENV)/.ready-dev-$(VERSION)
LAB_FLAGS ?=
# JupyterLab refuses to run as root unless told to: containers often have no other user.
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: test lab book playground notebooks lint tests nbval clean

test: lint tests nbval

lab: $(LAB)
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" $(ROOT_FLAG) $(LAB_FLAGS) notebooks/00_tour.ipynb

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

tests: $(DEV)
	$(BIN)/pytest -n 2 --dist worksteal

# Once is enough: the plug-in sees what a lesson leaves behind.
nbval: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist loadfile -p no:cacheprovider -p tests.helpers.lessons \
	  --nbval --nbval-current-env --nbval-cell-timeout 60 notebooks

book: $(DEV)
	rm -rf .book
	mkdir .book
	cp -R notebooks .book/source
	$(BIN)/python -m sphinx -q -W --keep-going -c .book/source/book .book/source .book/html
	@echo "The book is in .book/html/book/index.html"

playground: $(LAB)
	$(BIN)/kvraft playground .playground

notebooks: $(DEV)
	$(BIN)/python -m tests.helpers.notebooks notebooks/*.ipynb

$(VENV)/.ready-%-$(VERSION): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "kvraft needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@# venv leaves another interpreter's environment half in place
	@$(BIN)/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(VERSION)")' 2>/dev/null \
	  || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $(LAB) $@

clean:
	rm -rf $(VENV) .book .playground .mypy_cache .pytest_cache .ruff_cache .hypothesis

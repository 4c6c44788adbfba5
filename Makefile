# Every target builds its own virtual environment in .venv and needs nothing but Python 3.11+, make and (to clone) git.
# Nothing is written outside this directory. PYTHON=/path/to/python chooses an interpreter, ARGS="..." goes to the program.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv
PY := $(VENV)/bin/python
HISTORIES ?= 1000000
TASKS ?= 2000
RUNS ?= 1000
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1 )))# a test in four waits
ARGS ?=
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),-j2 --output-sync)# where what each says can be kept together

unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export XDG_CACHE_HOME := $(CURDIR)/.cache
export FILE_CACHE_DIR := $(CURDIR)/.cache/files
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/.cache/pyright
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export DO_NOT_TRACK := 1
ifeq ($(wildcard $(HOME)/.rustup),)
export RUSTUP_HOME := $(CURDIR)/.cache/rustup# pip asks a rustup that is around for its version, which then settles in $HOME
endif

# $(call timed,what,command): says what runs, runs it, says how it went and how long it took.
define timed
@printf '== %s\n' '$(1)'; began=$$(date +%s); $(2); code=$$?; \
if [ $$code -eq 0 ]; then word=ok; else word=FAILED; fi; \
printf '== %s: %s, %s s\n' '$(1)' "$$word" "$$(( $$(date +%s) - began ))"; exit $$code
endef

# $(call write_schemas,directory): from nothing, so that the file of a model that is gone goes too.
write_schemas = rm -rf $(1) && mkdir -p $(1) && $(PY) -m agentkit.schemas $(1)

.PHONY: help
help: ## list the targets
	@printf 'make TARGET, where TARGET is one of\n'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r name says; do printf '  %-8s %s\n' "$$name" "$$says"; done

# -- what people run -----------------------------------------------------------------------------------------------

.PHONY: demo test check bench fuzz thorough soak schemas clean
demo: $(VENV)/.core ## run the expense desk on real files, offline (ARGS="--help" lists its options)
	$(call timed,demo,$(PY) -m examples.expense_desk $(ARGS))

test: $(VENV)/.dev ## run the tests on all cores (ARGS="tests/wire -k status" narrows)
	@$(PY) -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal --inline-snapshot=disable $(ARGS)

check: $(VENV)/.dev ## lint, format, types twice, floors, dependencies, schemas: changes nothing
	@$(MAKE) --no-print-directory --keep-going $(TOGETHER) lint format types pyright floors deps schemadiff

bench: $(VENV)/.dev ## measure speed and memory (ARGS="--help" lists the options)
	$(call timed,bench,$(PY) -m bench $(ARGS))

fuzz: $(VENV)/.dev ## drive the turn machine through HISTORIES random histories
	$(call timed,fuzz,$(PY) -m tests.protocol.turn_fuzz --histories $(HISTORIES) $(ARGS))

thorough: $(VENV)/.dev ## run all tests, also what `make test` leaves out: the heavy ones on trio too
	@$(PY) -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal --inline-snapshot=disable --thorough $(ARGS)

soak: $(VENV)/.dev ## run TASKS tasks and RUNS tool runs through kills of workers, servers, tools (ARGS="--seed 7")
	$(call timed,soak,$(PY) -m tests.soak --tasks $(TASKS) $(ARGS))
	$(call timed,tool runs,$(PY) -m tests.soak.toolruns --runs $(RUNS))

schemas: $(VENV)/.core ## write the JSON Schemas and openapi.json into schemas/
	$(call timed,schemas,$(call write_schemas,schemas))

clean: ## remove the virtual environment, caches and build results
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist demo_out *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the parts of `make check`, each runnable alone ----------------------------------------------------------------

.PHONY: lint format types pyright floors deps schemadiff
lint: $(VENV)/.dev
	$(call timed,ruff check,$(PY) -m ruff check .)

format: $(VENV)/.dev
	$(call timed,ruff format,$(PY) -m ruff format --check .)

types: $(VENV)/.dev
	$(call timed,mypy,$(PY) -m mypy)

pyright: $(VENV)/.dev
	$(call timed,pyright,$(PY) -m pyright --pythonpath $(PY))

floors: $(VENV)/.dev
	$(call timed,import-linter,$(VENV)/bin/lint-imports --cache-dir .cache/import_linter)

deps: $(VENV)/.dev
	$(call timed,deptry,$(PY) -m deptry .)

schemadiff: $(VENV)/.dev
	$(call timed,schemas,$(call write_schemas,.cache/schemas) && { diff -r schemas .cache/schemas || { echo "schemas/ is out of date: run make schemas and commit"; false; }; })

# -- the virtual environment ---------------------------------------------------------------------------------------
# A stamp holds the directory it was made in: a copied tree builds its own instead of running the original's code.

ifneq ($(shell cat $(VENV)/.home 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.home
endif

$(VENV)/.home:
	@python=$$(for name in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done); \
	if [ -z "$$python" ]; then \
	  echo "agentkit needs Python 3.11 or newer; here is $$(python3 --version 2>/dev/null || echo none)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi; \
	printf '== virtual environment: %s in %s\n' "$$($$python --version)" '$(VENV)'; \
	$$python -m venv --clear $(VENV) && printf '%s' '$(CURDIR)' > $@

$(VENV)/.core: pyproject.toml $(VENV)/.home
	$(call timed,install agentkit,$(PY) -m pip install --quiet --editable '.[cli$(comma)serve]' && touch $@)

$(VENV)/.dev: pyproject.toml $(VENV)/.home
	$(call timed,install agentkit and its tools (once),$(PY) -m pip install --quiet --editable '.[dev]' && touch $@ $(VENV)/.core)

comma := ,

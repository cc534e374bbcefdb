# Everything a newcomer needs, under the same names as the commands of `twitter-pipeline`.
PYTHON ?= python3
# a second environment, for another Python: make VENV=.venv-3.13 PYTHON=python3.13 quick
export VENV ?= .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE
COMPILE := --generate-hashes --python-version 3.11 --no-emit-index-url --universal --quiet

# the tests of a file stay together, since they share servers; most of the time they wait for those, not for the CPU
WORKERS ?= 4
PARALLEL = --numprocesses $(WORKERS) --dist loadfile
# a folder for JUnit reports: make REPORTS=reports test
REPORT = $(if $(REPORTS),--junit-xml=$(REPORTS)/$(1).xml)
# first the parts, in parallel, then whole stacks, one at a time; the second step runs even if the first fails
define PARTS_AND_STACKS
failed=0; \
$(BIN)/pytest $(PARALLEL) $(call REPORT,parts) -m "$(1)" --ignore tests/benchmarks --ignore tests/system || failed=1; \
$(BIN)/pytest $(call REPORT,stacks) -m "$(1)" tests/system || failed=1; \
exit $$failed
endef

.DEFAULT_GOAL := help
.PHONY: help install up down status clean test quick soak bench lock check docs

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

install: ## bring .venv in line with requirements.lock (instant if it already is)
	@$(PYTHON) bootstrap.py

up: install ## start the whole stack and wait until it is ready
	@$(BIN)/twitter-pipeline up

down: ## stop everything that `make up` started; data is kept
	@if [ -x $(BIN)/twitter-pipeline ]; then $(BIN)/twitter-pipeline down; else echo "Nothing is installed, so nothing is running."; fi

status: ## show services, stages, and which X API and broker are in use
	@if [ -x $(BIN)/twitter-pipeline ]; then $(BIN)/twitter-pipeline status; else echo "Nothing is installed; run: make up"; fi

clean: ## stop the stack and remove its data, after asking
	@if [ -x $(BIN)/twitter-pipeline ]; then $(BIN)/twitter-pipeline clean; else echo "Nothing is installed, so there is no data."; fi

test: install ## run all tests except the long ones, from a clean start
	@$(call PARTS_AND_STACKS,not soak)

quick: install ## run the tests that need no running stack, in a few minutes
	@$(BIN)/pytest -q $(PARALLEL) -m "not soak" tests/unit tests/dags tests/agreement tests/plugins

soak: install ## run the long tests: both brokers, every kill, growth
	@$(call PARTS_AND_STACKS,soak)

bench: install ## measure performance on this machine
	@$(BIN)/pytest -q -s tests/benchmarks

lock: install ## resolve requirements.in into requirements.lock, and the image's part of it into requirements.txt
	@$(BIN)/uv pip compile requirements.in -o requirements.lock $(COMPILE)
	@$(BIN)/uv pip compile requirements.runtime.in -c requirements.lock -o requirements.txt $(COMPILE)

check: install ## check lint, format, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: install ## write the pages of docs/ that are generated from the code
	@$(BIN)/python docs/generate.py

# Everything a newcomer needs; the same words as `twitter-pipeline --help`.
PYTHON ?= python3
# another environment beside the usual one, for another Python: make VENV=.venv-3.13 PYTHON=python3.13 quick
export VENV ?= .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE
COMPILE := --generate-hashes --python-version 3.11 --no-emit-index-url --universal --quiet

# a file's tests stay together, since they share servers; most wait for servers and not for a processor
WORKERS ?= 4
PARALLEL = --numprocesses $(WORKERS) --dist loadfile
# a folder for reports in JUnit's format: make REPORTS=reports test
REPORT = $(if $(REPORTS),--junit-xml=$(REPORTS)/$(1).xml)
# the parts beside each other, then whole stacks, one at a time; the second also when the first has failures
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

install: ## make .venv what requirements.lock says (instant when it is)
	@$(PYTHON) bootstrap.py

up: install ## start the whole stack and wait until it answers
	@$(BIN)/twitter-pipeline up

down: ## stop everything that `make up` started; data stays
	@if [ -x $(BIN)/twitter-pipeline ]; then $(BIN)/twitter-pipeline down; else echo "Nothing is installed, so nothing runs."; fi

status: ## services, stages, the X and the broker in use
	@if [ -x $(BIN)/twitter-pipeline ]; then $(BIN)/twitter-pipeline status; else echo "Nothing is installed; run: make up"; fi

clean: ## stop the stack and remove its data, after asking
	@if [ -x $(BIN)/twitter-pipeline ]; then $(BIN)/twitter-pipeline clean; else echo "Nothing is installed, so there is no data."; fi

test: install ## all tests but the long rest, from nothing
	@$(call PARTS_AND_STACKS,not soak)

quick: install ## the tests that need no running stack, in a few minutes
	@$(BIN)/pytest -q $(PARALLEL) -m "not soak" tests/unit tests/dags tests/agreement tests/plugins

soak: install ## the long rest: both brokers, every kill, growth
	@$(call PARTS_AND_STACKS,soak)

bench: install ## how fast it is, on this machine
	@$(BIN)/pytest -q -s tests/benchmarks

lock: install ## resolve requirements.in anew into requirements.lock, and the image's share of it into requirements.txt
	@$(BIN)/uv pip compile requirements.in -o requirements.lock $(COMPILE)
	@$(BIN)/uv pip compile requirements.runtime.in -c requirements.lock -o requirements.txt $(COMPILE)

check: install ## lint, format, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: install ## write the pages of docs/ that are made of the code
	@$(BIN)/python docs/generate.py

# Commands of this repository. 'make help' lists them. What they do is in the scripts and playbooks that they call.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Which mini-pool: several live side by side. PORT is where its hub answers on this machine (default 8443).
INSTANCE ?= default
PORT ?=
SITE ?= inventories/minipool
export INSTANCE PORT SITE CHECK LIMIT SINCE T N STOP

.PHONY: help up down status test check lint unit repeat bench deploy docs

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: ## make the mini-pool with the whole stack, ready to log in (INSTANCE=, PORT=)
	@docker/minipool.sh up

down: ## remove the mini-pool: every container, network and volume of it (INSTANCE=)
	@docker/minipool.sh down

status: ## show the mini-pool's hosts, daemons, slots by class and running notebooks (INSTANCE=)
	@docker/minipool.sh status

test: ## everything: lint, unit tests, then the stack on mini-pools of its own (POOLS=, KEEP=1)
	@tests/run.sh

check: ## within a minute: ruff, mypy, yamllint and the unit tests that a change touches (SINCE=<commit>)
	@tools/venv.sh test
	@.venv/bin/python tools/check.py

lint: ## ansible-lint, yamllint, ruff, mypy, shellcheck
	@tools/venv.sh test
	@tools/lint.sh

unit: ## tests that need no containers
	@tools/venv.sh test
	@.venv/bin/python -m pytest tests/unit --numprocesses logical --dist worksteal

repeat: ## one test N times, and how often it fails: T=<file::test or a part of its name>, N=20, STOP=1, INSTANCE=
	@tools/venv.sh test
	@.venv/bin/python tools/repeat.py

bench: ## measure start times and the hub's costs on a mini-pool of its own, beside stock batchspawner (QUICK=1 tries it)
	@benchmarks/run.sh

deploy: ## deploy to real hosts: SITE=inventories/<site>, CHECK=1 previews, LIMIT= narrows
	@tools/venv.sh deploy
	@tools/deploy.sh

docs: ## render the generated docs (docs/variables.md and the class tables)
	@tools/venv.sh test
	@.venv/bin/python tools/render_docs.py

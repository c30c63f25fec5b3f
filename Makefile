# Each command sets up what it needs, from a fresh clone with Python >= 3.11 alone.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
UV := $(shell sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)
LOCK := $(BIN)/uv pip compile -q pyproject.toml --group local --group dev --universal --generate-hashes --no-header
export PATH := $(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export SLS_NOTIFICATIONS_MODE := off
export SLS_TELEMETRY_DISABLED := 1
LOCK_MINISTACK := $(BIN)/uv pip compile -q tests/deploy/ministack.in --universal --generate-hashes --no-header

AUTH ?= none
STAGE ?= dev
PAGE_PORT ?= 3000
GATEWAY_PORT ?= 3001
ARGS ?=

.PHONY: help setup up test test-unit coverage check bench bench-ci load arm64 format lock package clean

help: ## list the commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.ready node_modules/.ready ## install everything, pinned, into .venv and node_modules

up: setup ## the whole chat on this machine: page on port 3000, gateway on port 3001
	@exec $(BIN)/groupcast up --page-port $(PAGE_PORT) --gateway-port $(GATEWAY_PORT) --auth $(AUTH) $(ARGS)

# What coverage measures runs there, and not a second time.
MEASURED := tests/unit/groupcast tests/unit/groupcast_client tests/unit/aws
test: setup build build/ministack/.ready $(if $(ARGS),,coverage) ## every test, or those of a folder: make test ARGS=tests/attack
	$(BIN)/python -m pytest -n 2 --dist loadfile $(or $(ARGS),$(MEASURED:%=--ignore=%))

test-unit: setup ## the tests that start no process; about a minute
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/unit $(ARGS)

# Each package by itself: one must not hide behind the other.
coverage: setup ## the unit tests of the chat and its client; fails where they run under 95 % of either, with branches
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report= $(MEASURED) $(ARGS)
	$(BIN)/coverage report --include='src/groupcast/*' --fail-under=95
	$(BIN)/coverage report --include='src/groupcast_client/*' --fail-under=95

bench: setup ## the fan-out against its peers, as ratios; writes build/bench.json
	@$(BIN)/python -m compileall -q src loadtest
	@$(BIN)/python -m loadtest.bench $(ARGS)

# Gated on exact counts and on ratios within one run, never on a time.
bench-ci: setup ## the short benchmark of CI, under 3 minutes; reports in build/
	@$(BIN)/python -m compileall -q src loadtest
	@$(BIN)/python -m loadtest run -u 300 -r 100 --rate 5 -t 15s --headless \
	  --threshold 'ledger:lost==0' --threshold 'ledger:duplicate==0' \
	  --json build/loadtest.json --html build/loadtest.html
	@$(BIN)/python -m loadtest.bench --pairs 3 --rows http tls budget burst cold-start

load: setup ## the load test: make load ARGS="-u 200 -t 30s"
	@$(BIN)/python -m loadtest run $(ARGS)

check: package ## lint, types, packaged template, freshness of the lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	biome ci --error-on-warnings src loadtest tests
	tsc -p src/groupcast_web/client
	tsc -p src/groupcast_web/page
	$(BIN)/cfn-lint -i W3005 -x E3012:strict=true -t .serverless/cloudformation-template-update-stack.json
	@mkdir -p build && cp requirements.lock build/requirements.fresh && cp tests/deploy/ministack.lock build/ministack.fresh
	@$(LOCK) -o build/requirements.fresh
	@$(LOCK_MINISTACK) -o build/ministack.fresh
	@diff requirements.lock build/requirements.fresh || { echo "requirements.lock is stale: run make lock"; exit 1; }
	@diff tests/deploy/ministack.lock build/ministack.fresh || { echo "tests/deploy/ministack.lock is stale: run make lock"; exit 1; }
	@$(BIN)/npm ci --dry-run --ignore-scripts --silent >/dev/null || { echo "package-lock.json is stale: run make lock"; exit 1; }

.PHONY: build deploy remove contract emulator
build: setup ## the Lambda artifact, build/groupcast.zip, unless it is up to date
	@$(BIN)/python -m groupcast_deploy.artifact

package: setup ## the artifact and its CloudFormation template
	$(BIN)/npx --no-install osls package

deploy: setup ## build, and deploy a stage to AWS: make deploy STAGE=dev
	$(BIN)/npx --no-install osls deploy --stage $(STAGE) $(ARGS)

remove: setup ## take a stage down again: make remove STAGE=dev
	$(BIN)/npx --no-install osls remove --stage $(STAGE) $(ARGS)

contract: setup ## the contract suite against a stage: make contract URL=wss://…/dev TOKEN=…
	@GROUPCAST_URL='$(URL)' GROUPCAST_TOKEN='$(TOKEN)' $(BIN)/python -m tests.contract $(ARGS)

emulator: setup build/ministack/.ready ## an AWS on this machine, to deploy to without an account
	@exec $(BIN)/python -m tests.deploy emulator $(ARGS)

arm64: build/arm64/usr/bin/qemu-aarch64 setup ## import the artifact with an emulated arm64 Python (on Debian; 85 MB once)
	$(BIN)/python -m pytest tests/template/artifact -k arm64

format: setup ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	biome check --write src loadtest tests

lock: setup ## resolve the dependencies anew
	$(LOCK) --upgrade -o requirements.lock
	$(LOCK_MINISTACK) --upgrade -o tests/deploy/ministack.lock
	$(BIN)/npm install --package-lock-only --silent

clean: ## remove what the commands above made
	rm -rf .coverage .venv node_modules build .serverless .mypy_cache .ruff_cache .pytest_cache

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "groupcast needs Python 3.11 or newer; name one with make PYTHON=python3.13")'
	@echo "setting up .venv (once), 1 of 3: a Python environment and uv, 25 MB …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check $(UV)
	@echo "setting up .venv, 2 of 3: $$(grep -c == requirements.lock) packages, Node and Java among them, 210 MB: one to three minutes …"
	@$(BIN)/uv pip sync -q --require-hashes --compile-bytecode requirements.lock
	@echo "setting up .venv, 3 of 3: groupcast itself …"
	@$(BIN)/uv pip install -q --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.ready: package-lock.json | .venv/.ready
	@echo "setting up node_modules (once): $$(grep -c '"node_modules/' package-lock.json) packages, 110 MB: up to a minute …"
	@$(BIN)/npm ci --loglevel=error --no-progress >/dev/null
	@touch $@

# An AWS to rehearse on, in an environment of its own: it needs other versions. Its functions run in a bare one.
build/ministack/.ready: tests/deploy/ministack.lock | .venv/.ready
	@echo "setting up the emulator (once), 1 of 2: $$(grep -c == $<) packages, 30 MB: half a minute …"
	@$(BIN)/python -m venv --clear build/ministack
	@$(BIN)/uv pip sync -q --python build/ministack/bin/python --require-hashes --compile-bytecode $<
	@echo "setting up the emulator, 2 of 2: an empty Python environment for its functions …"
	@$(BIN)/python -m venv --clear --without-pip build/bare
	@touch $@

build/arm64/usr/bin/qemu-aarch64: tests/arm64.sh
	@bash tests/arm64.sh build/arm64
	@touch $@

# Two commands do it all on a fresh machine: `make demo` and `make test`. The rest is for those who build Plait.

SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/plait/target
BIN := .venv/bin

RUST := $(shell find native -name '*.rs' 2>/dev/null) native/Cargo.toml native/Cargo.lock
WEB := $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)

.PHONY: help setup setup-bench demo netlab test test-long test-python test-rust test-web lint format bench docs wheel clean

help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.system .venv/.engine .venv/.page ## Install and build everything that is needed here

.venv/.python: requirements.lock
	@tools/setup python && touch $@
.venv/.system: tools/setup | .venv/.python
	@tools/setup system && touch $@
.venv/.pebble: tools/setup | .venv/.python
	@tools/setup pebble && touch $@
.venv/.engine: $(RUST) pyproject.toml .venv/.python
	@tools/setup engine && touch $@
.venv/.page: $(WEB) | .venv/.python
	@tools/setup page && touch $@

demo: setup ## Start a hub and a small simulated household, and print a link that logs in
	@exec $(BIN)/plait demo

test: setup .venv/.pebble lint test-rust test-web test-python ## Run the tests, every kind

test-python:
	$(BIN)/pytest -m "not long"

test-rust:
	@if tools/setup has-rust; then cd native && cargo test --release --locked; else [ -z "$$CI" ]; fi

test-web:
	@if tools/setup has-node; then cd web && npm test; else [ -z "$$CI" ]; fi

test-long: setup .venv/.pebble ## Soaks, kill campaigns, long fuzzing, full matrices
	$(BIN)/pytest -m long --timeout 7200

lint: setup ## Check style, types and who imports whom, warnings as errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if tools/setup has-rust; then cd native && cargo fmt --check && cargo clippy --release --locked --all-targets -- -D warnings && cd .. && $(BIN)/python tools/licences.py; else [ -z "$$CI" ]; fi
	@if tools/setup has-node; then cd web && npm run lint; else [ -z "$$CI" ]; fi

format: .venv/.python ## Put every file into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd native && cargo fmt
	cd web && npm run format

setup-bench: setup ## Install the peers that benchmarks compare with
	@tools/setup bench

netlab: setup ## Run every pair of networks as root (each ROUNDS=10 times), and write docs/networks.md
	$(BIN)/python -m tests.netlab.matrix --rounds $(or $(ROUNDS),1)

bench: setup-bench ## Take every figure and write docs/benchmarks.md
	$(BIN)/python tools/benchmarks.py

docs: ## Check that the documentation's links lead somewhere
	$(BIN)/pytest -q tests/test_docs.py

wheel: setup ## Build what another machine can install with pip alone
	@tools/setup wheel

clean: ## Remove what was built here (not the cargo cache)
	rm -rf .venv web/node_modules src/plait/hub/page dist

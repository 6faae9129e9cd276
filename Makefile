# The menu. `make demo` and `make test` set up what they need (Python 3.11+, make; Node from the machine or from PyPI).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVER := packages/gnomon-server
STATIC := $(SERVER)/src/gnomon_server/web/static
TRIO := examples/trio
# These ask what happens in time, under kill -9 and stalls: nothing runs beside them.
ALONE := tests/chaos tests/sdk/stalls

.DEFAULT_GOAL := help
.PHONY: help demo run test check fix bench chaos corpora docs setup ui lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: setup ui ## the server with real telemetry of a shop of seven services (CHECK=1 asserts and exits)
	$(BIN)/gnomon demo $(if $(CHECK),--check --listen 127.0.0.1:0 --otlp-grpc 127.0.0.1:0 --otlp-http 127.0.0.1:0)

run: setup ui ## the server alone, on ./gnomon-data
	$(BIN)/gnomon up

test: setup ui $(TRIO)/node_modules/.package-lock.json ## all tests but the slow suites
	ui/node.sh $(BIN)/python -m pytest -q -n 2 --dist loadfile $(ALONE:%=--ignore %)
	$(BIN)/python -m pytest -q $(ALONE)

check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup ## mend what lint and format can mend by themselves
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## acknowledged, synced ingest and its parts (minutes; nothing else should run)
	$(BIN)/python benchmarks/ingest/run.py

chaos: setup ## kill -9 and power cuts under load (some twenty minutes)
	$(BIN)/python -m tests.chaos

corpora: setup ## Prometheus' own PromQL suite, in every way (some five minutes)
	$(BIN)/python -m tests.promqltest
	$(BIN)/python -m tests.promqltest --no-pushdown --pinned
	$(BIN)/python -m tests.promqltest --remembered
	$(BIN)/python -m tests.promqltest --http

docs: setup ## check the links and run the code blocks of the documentation
	$(BIN)/python -m pytest -q tests/docs

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock $(SERVER)/pyproject.toml packages/gnomon/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps -e packages/gnomon -e $(SERVER)
	touch $@

lock: ## pin every dependency anew
	$(PYTHON) -m venv $(VENV).lock && $(VENV).lock/bin/pip install -q uv
	$(VENV).lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --no-emit-package gnomon --group dev --extra demo $(SERVER)/pyproject.toml packages/gnomon/pyproject.toml -o requirements.lock
	$(VENV).lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    -c requirements.lock $(SERVER)/pyproject.toml -o deploy/requirements.lock
	rm -rf $(VENV).lock

ui: $(STATIC)/index.html ## build the console

$(STATIC)/index.html: $(VENV)/.installed $(shell find ui/src ui/public ui/index.html ui/package-lock.json 2>/dev/null)
	cd ui && PYTHON=$(abspath $(BIN)/python) ./node.sh npm ci --no-audit --no-fund --loglevel=error
	cd ui && ./node.sh npm run --silent build

$(TRIO)/node_modules/.package-lock.json: $(VENV)/.installed $(TRIO)/package-lock.json
	cd $(TRIO) && PYTHON=$(abspath $(BIN)/python) ../../ui/node.sh npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

clean: ## remove what was built and installed
	rm -rf $(VENV) $(STATIC) ui/node_modules $(TRIO)/node_modules .mypy_cache .ruff_cache .pytest_cache

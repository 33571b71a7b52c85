# The project's few verbs. Each makes what it needs, from nothing; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check format bench faults soak clean servers

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: .venv/installed ## install into .venv and run the quickstart example
	$(BIN)/python examples/quickstart/run.py

# ARGS goes to pytest: make test ARGS="tests/unit -x -n 0". Two files of tests at a time: most of them wait for processes.
test: export TOMQUEUE_TEST_REQUIRE_SERVERS := 1
test: export PYTHONDONTWRITEBYTECODE := # its many processes need not compile the package again
test: check ## install what the tests need, check the code, run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: .venv/installed-dev ## lint, format check, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev ## fix what the linter can fix and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# ARGS goes to it: make bench ARGS="--only drain --contenders tomqueue,celery --rounds 1"
bench: .venv/installed-bench ## compare with peers and with the limit, write docs/explanation/performance.md
	$(BIN)/python -m benchmarks.compare $(ARGS)

# ARGS goes to it: make faults ARGS="--runs 1 --only 'kill at worker'"
faults: .venv/installed-dev ## break everything on every database, write the table of the guarantees
	$(BIN)/python -m tests.faults $(ARGS)
	$(if $(ARGS),,TOMQUEUE_FAULTS_FULL=1 $(BIN)/python -m pytest tests/faults/test_state_machine.py tests/faults/test_state_machine_finds.py tests/faults/test_hostile_broker.py)

# MINUTES=10, and ARGS for the rest: make soak ARGS="--database mariadb --without-broker --seed 7"
soak: .venv/installed-dev ## break things at random under load, check that nothing is lost and nothing grows
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),10) $(ARGS)

clean: ## remove .venv and everything generated
	rm -rf .venv .bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say which pyproject.toml is installed, so that pip runs only when it changed.
.venv/installed: pyproject.toml $(BIN)/python
	$(PIP) install --editable .
	@touch $@

.venv/installed-dev: pyproject.toml $(BIN)/python | servers
	$(PIP) install --upgrade 'pip>=25.1' # the first to know --group
	$(PIP) install --editable . --group dev
	@touch .venv/installed $@

.venv/installed-bench: .venv/installed-dev
	@WITH_REDIS=1 PYTHON=$(BIN)/python tests/install_servers.sh
	$(PIP) install --group bench
	@touch $@

servers: $(BIN)/python
	@PYTHON=$(BIN)/python tests/install_servers.sh

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo 'TomQueue needs Python 3.11 or newer: apt-get install python3 (macOS: brew install python), or name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
	{ echo 'This Python cannot make virtual environments: apt-get install python3-venv' >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .venv

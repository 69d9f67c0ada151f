# Two commands do everything on a fresh machine with Python 3.11 or later: `make run` and `make test`.
# The distribution's own Python comes first where it will do: it is built optimised, which is worth a sixth of the CPU.
# `make run PYTHON=/path/to/python3` names another.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& echo $$p && exit; done; \
	for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
JOBS ?= 4

.PHONY: run test lint types bench clean

run: $(VENV)/.run
	@exec $(BIN)/portside serve $(ARGS)

test: $(VENV)/.test
	@$(BIN)/lint-imports --no-logo >/tmp/portside-lint-imports.$$$$ 2>&1 || { cat /tmp/portside-lint-imports.$$$$; exit 1; }; rm -f /tmp/portside-lint-imports.$$$$
	@$(BIN)/pytest -q -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(VENV)/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check -q .

types: $(VENV)/.test
	@$(BIN)/mypy && $(BIN)/mypy tests bench

bench: $(VENV)/.run
	@$(BIN)/python -m bench $(ARGS)

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Portside needs Python 3.11 or later: install it, or name one with 'make $(MAKECMDGOALS) PYTHON=/path/to/python3'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Portside needs Python 3.11 or later, and $(PYTHON) is not: name another one with 'make $(MAKECMDGOALS) PYTHON=/path/to/python3'." >&2; exit 1; }
	@rm -rf $(VENV)
	@if command -v uv >/dev/null 2>&1; then uv venv -q --seed --python "$(PYTHON)" $(VENV); \
	elif ! "$(PYTHON)" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
		echo "this Python cannot make virtual environments: 'apt-get install python3-venv' brings what is missing." >&2; exit 1; \
	else "$(PYTHON)" -m venv $(VENV); fi
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements.lock requirements-build.lock pyproject.toml
	@echo "installing Portside into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q portside proxy backends
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements-test.lock
	@echo "installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@

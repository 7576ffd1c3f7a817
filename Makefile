# make demo: the paper's experiment; make test: all checks. `make` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SETUP = pyproject.toml setup.py vnemu/__init__.py

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1
.DELETE_ON_ERROR:
.PHONY: help demo test private lint bench clean system-demo system-test system-bench

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

demo: system-demo $(VENV)/.demo ## the paper's Fig. 6 on this machine, with a report
	@$(BIN)/vnemu run experiments/fig6-guarantee.yaml

test: system-test lint ## all checks: the linters and every test
	$(BIN)/pytest -q --durations=10 --ignore-glob='*/test_private_*.py'

private: system-test $(VENV)/.test ## tests of the private kernel, and the kernel's tests inside it
	$(BIN)/pytest -q --durations=10 tests/experiments/test_private_*.py
	$(BIN)/pytest -q --durations=10 --private-kernel tests/kernel

lint: $(VENV)/.test ## style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: system-bench $(VENV)/.demo ## the benchmarks, beside Mininet
	$(BIN)/python benchmarks/setup.py
	$(BIN)/python benchmarks/reshape.py

clean: ## remove what was built; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find vnemu tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

system-demo system-test system-bench: system-%:
	@bash tools/system-packages $*

# The environment is made once, refreshed when its description changes, and made
# anew when its interpreter is gone. pip is heard only when it fails.
define install
@echo "setting up $(VENV)"
@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
@$(BIN)/python -m pip install --editable '$(1)' >$(VENV)/pip.log 2>&1 || \
	{ cat $(VENV)/pip.log >&2; echo "pip could not install '$(1)'" >&2; exit 1; }
endef

$(VENV)/.demo: $(SETUP) | system-demo
	$(call install,.)
	@touch $@

$(VENV)/.test: $(SETUP) | system-test
	$(call install,.[dev])
	@touch $(VENV)/.demo $@

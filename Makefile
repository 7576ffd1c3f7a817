# make demo: the paper's experiment; make test: all checks. `make` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = -q --durations=5
MEASURED = $(addprefix tests/experiments/test_,experiments.py calibrate.py \
	sweeps.py::test_settings_are_compared)
BOOTS = $(wildcard tests/experiments/test_private_*.py)
ADAPTATION = tests/experiments/test_adaptation.py
DOCS = $(addprefix tests/experiments/,test_docs.py test_documented_sessions.py)
TEACHING = $(addprefix tests/experiments/test_,labs.py pytest_plugin.py notebook.py)
LIFE = $(addprefix tests/kernel/test_,vr_life.py limits.py network_life.py router_life.py migrated.py \
	undone.py)
ROUTERS = $(addprefix tests/kernel/test_,router_os.py converge.py observers.py probe_streams.py)
CHANGES = $(wildcard tests/kernel/test_live_*.py) tests/kernel/test_lab_verbs.py \
	tests/kernel/test_conformance.py tests/kernel/test_capsule.py
SETUP = pyproject.toml setup.py vnemu/__init__.py

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench clean system-demo system-test system-bench test-code \
	test-native test-vrs test-private test-changes test-daemons test-life test-boots test-commands \
	test-teaching test-docs test-routers test-adaptation test-experiments test-experiments-private

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

demo: system-demo $(VENV)/.demo ## the paper's Fig. 6 on this machine, with a report
	@$(BIN)/vnemu run experiments/fig6-guarantee.yaml

# Turns run side by side: most of their tests wait most of the time. What measures rates and times
# comes when only those are left in which routers are waited for. What fails has to pass a second
# time, alone: it may have waited for the processor. The end lists what needed that.
test: system-test ## all checks: the linters and every test, in both kernels
	@rm -rf .pytest_cache
	@$(MAKE) --no-print-directory --jobs=7 --output-sync=line FORGIVEN=1 \
		test-adaptation test-routers test-experiments test-experiments-private
	@cd .pytest_cache && status=0; for failed in */v/cache/lastfailed; do \
		[ ! -e "$$failed" ] || $(MAKE) --no-print-directory -C .. PYTEST="-q --last-failed" \
			"$${failed%%/*}" || status=1; done; exit $$status
	@$(BIN)/python tests/turns.py

# The longest come first, so that none is left alone at the end.
COMPUTING = test-commands test-private test-teaching test-life test-daemons test-changes test-docs \
	test-vrs test-boots test-native test-code lint
ifdef FORGIVEN
test-experiments test-experiments-private: $(COMPUTING)
endif

# FORGIVEN is the status of pytest that does not end `make`; 1: tests failed.
turn = $(BIN)/pytest $(PYTEST) --turn -o cache_dir=.pytest_cache/$@ $(1) || [ $$? = "$(FORGIVEN)" ]
without = $(addprefix --ignore=,$(1))

test-code: $(VENV)/.test ## tests of the code alone
	$(call turn,tests/unit tests/golden)

test-native: $(VENV)/.test ## what is made on the running kernel, and how it is changed
	$(call turn,tests/kernel $(call without,$(ROUTERS) $(LIFE)))

test-vrs: $(VENV)/.test ## Router OSs on the running kernel, and how VRs and VNs live
	$(call turn,$(ROUTERS) $(LIFE))

test-routers: $(VENV)/.test ## experiments whose routers adapt, on the running kernel …
	$(call turn,$(ADAPTATION)::test_natively $(ADAPTATION)::test_a_sweep_compares_daemons)

test-private: $(VENV)/.test ## the kernel's tests again in the private kernel: what is made …
	$(call turn,--private-kernel tests/kernel $(call without,$(CHANGES) $(ROUTERS) $(LIFE)))

test-changes: $(VENV)/.test ## … how it is changed …
	$(call turn,--private-kernel $(CHANGES))

test-daemons: $(VENV)/.test ## … Router OSs …
	$(call turn,--private-kernel $(ROUTERS))

test-life: $(VENV)/.test ## … how VRs and VNs live …
	$(call turn,--private-kernel $(LIFE))

test-adaptation: $(VENV)/.test ## … and in the private one
	$(call turn,$(ADAPTATION)::test_in_the_private_kernel)

test-commands: $(VENV)/.test ## the commands, as users call them
	$(call turn,tests/experiments $(addprefix --deselect=,$(MEASURED)) \
		$(call without,$(ADAPTATION) $(DOCS) $(BOOTS) $(TEACHING)))

test-teaching: $(VENV)/.test ## labs that are taught, and in pytest and notebooks
	$(call turn,$(TEACHING))

test-boots: $(VENV)/.test ## how private kernels start and end, and what they leave
	$(call turn,$(BOOTS))

test-docs: $(VENV)/.test ## what the documents show
	$(call turn,$(DOCS))

test-experiments: $(VENV)/.test ## what measures rates and times, on the running kernel …
	$(call turn,-k 'not private' $(MEASURED))

test-experiments-private: $(VENV)/.test ## … and in the private one
	$(call turn,-k private $(MEASURED))

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
# anew when its interpreter is gone. pip is heard only when it fails. Bytecode is written at once: where
# commands may not write it, each would compile all anew, for 0.2 s.
define install
@echo "setting up $(VENV)"
@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
@$(BIN)/python -m pip install --editable '$(1)' >$(VENV)/pip.log 2>&1 || \
	{ cat $(VENV)/pip.log >&2; echo "pip could not install '$(1)'" >&2; exit 1; }
@$(BIN)/python -m compileall -q vnemu
endef

$(VENV)/.demo: $(SETUP) | system-demo
	$(call install,.)
	@touch $@

$(VENV)/.test: $(SETUP) | system-test
	$(call install,.[dev])
	@touch $(VENV)/.demo $@

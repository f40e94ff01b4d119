# make help lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= demo-store
# Not from the environment: LANGUAGE is also what desktops call their own.
LANGUAGE := ko
# Where `make checkers` puts it; tests with axe-core are skipped without.
export NPUBENCH_AXE ?= $(wildcard $(CURDIR)/$(VENV)/checkers/node_modules/axe-core/axe.min.js)

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

# Real runtimes where a package index has them; of vendors' own, the plug-ins alone.
BACKENDS := backends/onnxruntime[cpu] backends/openvino[runtime] backends/iree[compiler] \
            backends/mobilint backends/furiosa backends/rebellions backends/deepx

# Editable, so that the tree is what runs; the stamp spares the installation while the dependencies are the same.
$(VENV)/.stamp: pyproject.toml $(wildcard backends/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("npubench needs Python 3.11 or later here; set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing npubench and what it needs into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[standard,dev]' $(patsubst %,-e '%',$(BACKENDS))
	@touch $@

.PHONY: install
install: $(VENV)/.stamp  ## Make .venv with npubench, its backends and the tools of development

.PHONY: checkers
checkers: install  ## Install what checks reports from outside: Chromium, axe-core, veraPDF, LibreOffice (root, apt-get and npm)
	@.ci/checkers $(VENV) >/dev/null

.PHONY: demo
demo: install  ## Measure every workload on this CPU and write the comparison (a few minutes; its path is the last line)
	@$(BIN)/npubench run demo --store $(STORE) || test $$? -eq 1
	@$(BIN)/npubench report --suite demo --baseline onnxruntime/fp32 --store $(STORE) --language $(LANGUAGE)

.PHONY: test
test: install  ## Run the whole test suite
	@$(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: check
check: install  ## Lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: install  ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

.PHONY: overhead
overhead: install  ## Measure what the harness costs, side by side with bare loops
	@$(BIN)/python -m pytest tests/overhead --benchmark-enable --benchmark-only --benchmark-columns=median,rounds -q -s

.PHONY: energy-table
energy-table: install  ## Make docs/energy-accuracy.md again: reported energy against made-up truths
	@$(BIN)/npubench calibrate --energy --out docs/energy-accuracy.md

.PHONY: statistics-table
statistics-table: install  ## Make docs/statistics.md again: percentiles, intervals and rules against made-up runs
	@$(BIN)/npubench calibrate --statistics --out docs/statistics.md

.PHONY: audits-table
audits-table: install  ## Make docs/audits.md again: audits against dishonest and honest plug-ins (half an hour)
	@$(BIN)/npubench calibrate --audits --out docs/audits.md

.PHONY: clean
clean:  ## Remove .venv and caches of tools; records and bundles stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

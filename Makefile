# Every target makes what it needs, and is quick when nothing changed.
PYTHON ?= python3
# A wheel source for torch (for instance your index of CPU wheels); empty takes pip's own.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check serve bench format reference clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(STAMP): pyproject.toml clients/python/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lossd needs Python 3.11 or later; name one with make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (minutes the first time)"
	@if [ -n "$(TORCH_INDEX)" ]; then $(PIP) --no-deps torch --index-url "$(TORCH_INDEX)"; fi
	@$(PIP) --editable '.[dev]' --editable ./clients/python
	@echo "compiling the kernels (under a minute, once)"
	@$(BIN)/python -c 'import lossd.engine, lossd.audit'
	@touch $(STAMP)

demo: $(STAMP) ## train on digits, post the outputs to every loss, then audit them
	@$(BIN)/python -m demo

test: $(STAMP) ## run the test suite
	@$(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(STAMP) ## lint, format check, types, Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/hadolint Dockerfile

serve: $(STAMP) ## run the service in the foreground
	@$(BIN)/lossd serve

bench: $(STAMP) ## run the benchmarks
	@$(BIN)/python -m benchmarks

format: $(STAMP) ## format the code
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

reference: $(STAMP) ## rewrite the generated pages of docs/
	@$(BIN)/python -m docs.generate

clean: ## remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

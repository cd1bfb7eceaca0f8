# Short names for commands; what they do is Snakemake's and pytest's business.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo paper published plan status forget test check lint schema requirements

setup: .venv/ready

.venv/ready: requirements.txt requirements-cluster.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("kvsweep needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt -r requirements-cluster.txt -r requirements-dev.txt
	touch $@

demo: setup
	$(BIN)/snakemake --configfile examples/demo.yaml
	@echo "The report: $(CURDIR)/results/report.html"

paper: setup
	$(BIN)/snakemake
	@echo "The report: $(CURDIR)/results/report.html"

# What kvsweep says of the published numbers alone: no engine, no model, under a minute. Works while a run is measuring.
published: setup
	$(BIN)/snakemake --nolock $(if $(CONFIG),--configfile $(CONFIG)) -- results/published/report.html
	@echo "The report: $(CURDIR)/results/published/report.html"

# CONFIG=examples/demo.yaml plans that one. Works while a run is measuring.
plan: setup
	$(BIN)/snakemake --nolock --quiet all $(if $(CONFIG),--configfile $(CONFIG)) -- plan

# How far a run has come, from another terminal while it runs.
status: setup
	$(BIN)/python workflow/scripts/show_status.py --results results

# make forget STATUS=timeout PAIR=q8_0/q4_0; DRY=1 only lists.
forget: setup
	$(BIN)/python workflow/scripts/forget_cells.py --results results $(MAKEOVERRIDES)

# Everything that needs neither an engine nor a cluster.
check: setup lint
	$(BIN)/pytest -q -m "not engine and not cluster"

# Everything: the demo is the end-to-end test.
test: setup lint
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint --configfile examples/demo.yaml

# The configuration's JSON schema, for editors.
schema: setup
	$(BIN)/python workflow/scripts/write_schema.py

# Pins every package anew; needs uv.
requirements:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements.in -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements-cluster.in -o requirements-cluster.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements-dev.in -o requirements-dev.txt

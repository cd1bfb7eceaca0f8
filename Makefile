# Short names for commands; what they do is Snakemake's and pytest's business.
#
# STUDY=directory works on another study than the one whose results lie here: make run CONFIG=my.yaml STUDY=studies/mine
PYTHON ?= python3
BIN := .venv/bin
# What the user wrote, as it is: not read by make, and ~ as every shell reads it. Then as one word of the shell.
given = $(subst start::,,$(subst start::~/,$(HOME)/,start::$(value $(1))))
quoted = '$(subst ','\'',$(1))'
IN_STUDY := $(if $(value STUDY),--directory=$(call quoted,$(call given,STUDY)))
RESULTS := $(call quoted,$(if $(value STUDY),$(call given,STUDY)/)results)
CONFIGURED := $(if $(value CONFIG),--configfile=$(call quoted,$(call given,CONFIG)))
# PAIR=q8_0/q4_0 and the like, in make's own writing, which program.py reads.
NAMED = --made-with=$(call quoted,$(MAKEOVERRIDES))
THE_REPORT = @printf 'The report: %s/$(1)\n' "$$(cd -- $(RESULTS) && pwd)"
# What is installed is known by the contents of the files that pin it: a checkout installs nothing again.
pinned = .venv/$(1)-$(firstword $(shell cksum requirements/$(1).txt))
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input --require-hashes

.PHONY: setup setup-dev setup-cluster demo run paper published study plan status forget rename slice check-slice export test test-harness check lint schema requirements

# What running needs. Tests and a cluster add theirs.
setup: $(call pinned,run)

setup-dev: setup setup-cluster $(call pinned,dev)

setup-cluster: setup $(call pinned,cluster)

$(call pinned,run):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("kvsweep needs Python 3.11 or newer: make PYTHON=python3.12")'
	@echo "Installing what kvsweep needs into .venv: $$(grep -c '^[a-z].*==' requirements/run.txt) packages, about 800 MB, a minute or two"
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements/run.txt
	@rm -f .venv/run-* && touch $@
	@echo "Ready: $$($(BIN)/python --version), Snakemake $$($(BIN)/snakemake --version), $$(du -sm .venv | cut -f1) MB in .venv"

$(call pinned,cluster):
	$(PIP) -r requirements/cluster.txt
	@rm -f .venv/cluster-* && touch $@

$(call pinned,dev):
	$(PIP) -r requirements/dev.txt
	@rm -f .venv/dev-* && touch $@

# exec: what ends make (a scheduler, a shutdown) reaches Snakemake and not only a shell around it.
demo: setup
	@exec $(BIN)/snakemake --configfile examples/demo.yaml $(IN_STUDY)
	$(call THE_REPORT,report.html)

# A study of your own: make run CONFIG=my.yaml
run: setup
	@exec $(BIN)/snakemake $(CONFIGURED) $(IN_STUDY)
	$(call THE_REPORT,report.html)

paper: setup
	@exec $(BIN)/snakemake $(IN_STUDY)
	$(call THE_REPORT,report.html)

# What kvsweep says of the published numbers alone: no engine, no model, under a minute. Works while a run is measuring.
published: setup
	@exec $(BIN)/snakemake --nolock $(CONFIGURED) $(IN_STUDY) -- published
	$(call THE_REPORT,published/report.html)

# The report behind docs/study.md, from the slices in examples/slices alone: no engine, no model.
study: setup
	@$(BIN)/snakemake --nolock --configfile examples/small-models.yaml $(IN_STUDY) -- results/study/report.html
	$(call THE_REPORT,study/report.html)

# CONFIG=examples/demo.yaml plans that one. Works while a run is measuring.
plan: setup
	@exec $(BIN)/snakemake --nolock --quiet all $(CONFIGURED) $(IN_STUDY) -- plan

# How far a run has come, from another terminal while it runs.
status: setup
	@$(BIN)/python workflow/scripts/show_status.py --results=$(RESULTS)

# make forget STATUS=timeout PAIR=q8_0/q4_0; DRY=1 only lists.
forget: setup
	@$(BIN)/python workflow/scripts/forget_cells.py --results=$(RESULTS) $(NAMED)

# Another name for what was measured: make rename MODEL=old:new, or ENGINE=, CORPUS=, MACHINE=.
rename: setup
	@$(BIN)/python workflow/scripts/rename_results.py --results=$(RESULTS) $(NAMED)

# One file to share: results/slice-MACHINE-DATE.zip. It lists what it holds and what it replaced; DRY=1 only lists.
slice: setup
	@$(BIN)/python workflow/scripts/make_slice.py --results=$(RESULTS) $(NAMED)

# What a taker will see of a slice: make check-slice FILE=results/slice-....zip
check-slice: setup
	@$(BIN)/python workflow/scripts/check_slice.py -- $(call quoted,$(call given,FILE))

# For other tools: every table as CSV, and speeds as llama-bench's database; SLICE=file of a slice instead of this study.
export: setup
	@$(BIN)/python workflow/scripts/export_tables.py --results=$(RESULTS) $(if $(value SLICE),--slice=$(call quoted,$(call given,SLICE)))

# Everything that needs neither an engine nor a cluster: side by side, a file of tests on each core.
SIDE_BY_SIDE := $(BIN)/pytest -n logical --dist loadfile -m "not engine and not cluster"

check: setup-dev lint
	$(SIDE_BY_SIDE) -q

# Everything: the demo is the end-to-end test, and what it measures has the machine for itself.
test: setup-dev lint
	$(BIN)/pytest -m "engine or cluster"
	$(SIDE_BY_SIDE)

# The real harness of Aider Polyglot in each sandbox that works here; for bubblewrap it installs 850 MB under results/harness first.
AIDER ?= https://github.com/Aider-AI/aider
POLYGLOT ?= https://github.com/Aider-AI/polyglot-benchmark
SANDBOXES ?= bubblewrap podman docker
IMAGE ?= aider-benchmark
TRIED = ["python/beer-song", "python/grep", "python/proverb", "python/wordy"]
HARNESS = {"sandbox": "'$$kind'", "image": "$(IMAGE)", "aider": "$(AIDER)", "polyglot": "$(POLYGLOT)", "exercises": $(TRIED)}
test-harness: setup-dev
	@rm -f results/harness/tests-*.json
	@for kind in $(SANDBOXES); do \
	  $(BIN)/python workflow/scripts/make_harness.py --name tests --definition '$(HARNESS)' \
	    --harness-json results/harness/tests-$$kind.json || echo "Not tried in $$kind."; \
	done
	@ls results/harness/tests-*.json
	$(BIN)/pytest -m harness

lint: setup-dev
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
	cd requirements && for name in run cluster dev harness; do \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $$name.in -o $$name.txt || exit 1; \
	done
	{ sed '/^  - pip:$$/q' workflow/envs/kvsweep.yaml && sed -nE 's/^([a-z].*[^ ]) *\\$$/      - \1/p' requirements/run.txt; } > kvsweep.new
	mv kvsweep.new workflow/envs/kvsweep.yaml

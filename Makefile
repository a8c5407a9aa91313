# What people and CI call. `make` alone lists it.

PYTHON ?= python3
STUDY ?= config/config.yaml
CORES ?= all
MINUTES ?= 30
PORT ?= 8765
SEED ?= 0
DEVICE ?= cuda
OUTPUT ?= results/gpu.json
SNAKEMAKE = .venv/bin/python -m snakemake --cores $(CORES)
CHECK = .venv/bin/python workflow/scripts/check.py --study '$(STUDY)'

.DEFAULT_GOAL = help
.PHONY: help install lab open watch check settle retry status paper archive campaigns test test-slow test-slurm test-gridengine lint format bench gpu clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\): .*##/\1\t/p' Makefile

install: .venv/installed  ## install everything into .venv

.venv/installed: requirements.txt $(wildcard executor/src/*/*.py screen/src/*/*.py) executor/pyproject.toml screen/pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

lab: install  ## run the study (STUDY=config/lab.yaml for another) and write its report
	@$(CHECK)
	$(SNAKEMAKE) --configfile '$(STUDY)'
	$(SNAKEMAKE) --configfile '$(STUDY)' --quiet all --report "results/$$($(CHECK) --name)/report.html"
	@echo "The report: results/$$($(CHECK) --name)/report.html"
	@echo "The answers: $$($(CHECK) --page)"

open: install  ## show the answers of the study in a browser
	@$(CHECK) --page
	@.venv/bin/python -m webbrowser -t "$$($(CHECK) --page)" >/dev/null

watch: install  ## the answers while the study runs, on http://127.0.0.1:8765 (PORT)
	@.venv/bin/python workflow/scripts/watch.py --study '$(STUDY)' --port $(PORT)

check: install  ## check the study, and try what it names for a few steps: all mistakes, a line each
	@$(CHECK) --probe

settle: install  ## train more seeds where a verdict is open (MINUTES=30 of training, STUDY, CORES)
	.venv/bin/python workflow/scripts/settle.py --study '$(STUDY)' --minutes $(MINUTES) -- --cores $(CORES)

retry: install  ## try the runs of the study again that failed by themselves
	.venv/bin/python workflow/scripts/retry.py --study '$(STUDY)'
	$(SNAKEMAKE) --configfile '$(STUDY)'

status: install  ## what of the study is done, running, failed, and how long the rest takes
	@.venv/bin/python workflow/scripts/status.py --study '$(STUDY)'

paper: install  ## the finished study as LaTeX and Markdown: tables, figures as PDF, methods, a checklist
	@.venv/bin/python workflow/scripts/paper.py --study '$(STUDY)'

archive: install  ## the finished study with code, data and hashes in one file, for others to continue
	@.venv/bin/python workflow/scripts/archive.py --study '$(STUDY)'

test: install  ## the fast tests, under five minutes on two cores
	.venv/bin/python -m pytest -n auto -m "not slow and not slurm and not gridengine" tests

test-slow: install  ## the slow tests alone, as CI runs them before `make test`
	.venv/bin/python -m pytest -n auto -m "slow and not slurm and not gridengine" tests

test-slurm: install  ## the tests on a real SLURM, brought up here (root and Debian only)
	.venv/bin/python -m pytest -m slurm $(ARGS) tests/slurm

test-gridengine: install  ## the tests on a real Grid Engine, brought up here (root and Debian only)
	.venv/bin/python -m pytest -m gridengine $(ARGS) tests/gridengine

campaigns: install  ## thousands of cases of what goes wrong (CAMPAIGN, SEED, CASES, CASE: tests/campaigns)
	.venv/bin/python tests/campaigns --seed $(SEED) $(if $(CAMPAIGN),--campaign $(CAMPAIGN)) \
		$(if $(CASES),--cases $(CASES)) $(if $(CASE),--case $(CASE))

# snakefmt, and Snakemake inside SLURM jobs, call programs of this environment by name.
lint format test-slurm campaigns: export PATH := $(CURDIR)/.venv/bin:$(PATH)

lint: install  ## formatters, linters and the type checker, none of which changes a file
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy
	PYTHONPATH=workflow/scripts .venv/bin/lint-imports pyproject.toml
	.venv/bin/python -m snakefmt --check Snakefile workflow/rules
	.venv/bin/python -m snakemake --lint

format: install  ## format every file
	.venv/bin/python -m ruff format .
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m snakefmt Snakefile workflow/rules

gpu:  ## what waits for a GPU, in eight minutes; DEVICE=cpu rehearses it (benchmarks/README.md)
	PYTHONPATH=workflow/scripts$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) benchmarks/gpu_day.py --device $(DEVICE) --output '$(OUTPUT)' $(PARTS)

bench: install  ## the benchmarks of benchmarks/README.md
	.venv/bin/python benchmarks/run.py

clean:  ## throw away every result
	rm -rf results .snakemake

# Every target prepares what it needs: a fresh clone and `make test` are enough. `make` alone lists the targets.

PYTHON := .venv/bin/python
# Machines are made by root. Under sudo the caches stay the user's, and nothing is written into the checkout.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env HOME="$$HOME" PATH="$$PATH:/usr/sbin:/sbin") env PYTHONDONTWRITEBYTECODE=1
PYTEST := -m pytest -p no:cacheprovider

.DEFAULT_GOAL := help
.PHONY: help prepare demo test test-unit soak lint bench bench-quick reference clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prepare: ## install what the host lacks, and make .venv
	@tools/prepare

demo: prepare ## two machines without Nix: what the first builds, the second fetches (root)
	@$(AS_ROOT) $(PYTHON) -m tests.demo

test: prepare ## all tests, three files at a time, on throwaway machines with the three Nix generations (root)
# What is long comes first, so that no process waits for the others at the end.
	@$(AS_ROOT) $(PYTHON) $(PYTEST) --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 20 \
	  tests/integration tests/unit

test-unit: prepare ## the quick ones of the tests that need neither root nor Nix
	@$(PYTHON) -m pytest --numprocesses 4 --dist worksteal -m "not slow" tests/unit

soak: prepare ## what is long, whole: all seeds, kills, gigabytes and combinations (root)
	@$(AS_ROOT) SOAK=1 $(PYTHON) $(PYTEST) -m "soak or every_value" tests

lint: prepare ## everything that can be said about the code without running it
	@PATH="$(CURDIR)/.venv/bin:$$PATH" tools/lint

bench: prepare ## every figure of docs/performance.md, with its pictures; some 25 minutes (root)
	@$(AS_ROOT) $(PYTHON) -m tests.bench

bench-quick: prepare ## the main ones, one round each, into build/bench; under two minutes (root)
	@$(AS_ROOT) $(PYTHON) -m tests.bench --quick

reference: prepare ## write the reference pages of the documentation anew
	@$(PYTHON) -m tools.reference

clean: ## remove .venv and what tools left behind; the harness's cache stays
	rm -rf .venv build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache

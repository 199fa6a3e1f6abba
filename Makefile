# Everything a contributor or a CI job runs. `make` lists the targets.
SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.tree

SUITE ?= trixie
NAME ?= lifecycle
N ?= 100
VM := tests/testbed/vm

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Create or refresh .venv (newest Python of the machine, pinned packages) and .tree
	@tools/toolchain

.PHONY: format
format: setup ## Format the Python sources and fix what ruff can fix
	@ruff check --fix --quiet . ; ruff format .

.PHONY: lint
lint: setup ## Run all linters, or those named: make lint ONLY="ruff mypy"
	@.venv/bin/python tools/lint.py $(ONLY)

.PHONY: unit
unit: setup ## Run the unit tests, and the conformance statements on the in-memory fake: make unit ARGS="-k manifest -x"
	@PYTHONPATH=.tree .venv/bin/python -m pytest tests/unit tests/conformance --host fake $(ARGS)

.PHONY: sanity
sanity: setup ## Run ansible-test sanity with every Python of the machine, options in ARGS
	@.venv/bin/python tools/sanity.py $(ARGS)

.PHONY: package
package: setup ## Build the artefact for Galaxy, install it and check what users get
	@.venv/bin/python tools/package.py

.PHONY: packages
packages: ## Install the Debian packages that virtual machines need (as root or with sudo)
	@$(VM) packages

.PHONY: image
image: packages ## Build the image of the virtual machines, if there is none yet: SUITE=trixie|...
	@$(VM) image --suite $(SUITE)

.PHONY: vm
vm: setup packages ## Boot a development VM with four disks and say how to reach it
	@$(VM) start dev --disk d0=1G --disk d1=1G --disk d2=1G --disk d3=1G

.PHONY: conformance
conformance: setup packages ## Check our statements about OpenZFS against the real one: SUITE=bookworm|trixie|...
	@tests/conformance/run --suite $(SUITE) $(ARGS)

.PHONY: wire
wire: setup packages ## Watch a host's disk while modules run without configured pipelining: no key may appear
	@tests/wire/run wire $(ARGS)

.PHONY: leaks
leaks: setup packages ## Look for canary keys everywhere, from arguments to the raw disk: SHORT=1 for a sample
	@tests/leaks/run $(if $(SHORT),--sample) $(ARGS)

.PHONY: faults
faults: setup packages ## Kill changes of keys at system calls and by power cuts: SHORT=1 for a sample, ARGS="--seed 4 --point 17"
	@tests/faults/run $(if $(SHORT),--sample) $(ARGS)

.PHONY: scenario
scenario: setup packages ## Run Molecule scenarios on real VMs: NAME="lifecycle rotate"
	@tools/scenario $(NAME)

.PHONY: bench
bench: setup packages ## Compare the modules with what a person would type, side by side: N=100 ONLY="unlock_keys lock"
	@tests/benchmark/run --n $(N) $(ARGS) $(ONLY)

.PHONY: scale
scale: setup packages ## Provision, lock and unlock a pool of 1,000 datasets: ARGS="--n 400"
	@PYTHONPATH=.tree .venv/bin/python -m ansible_collections.zfsfleet.encryption.tests.benchmark.scale $(ARGS)

.PHONY: rotation
rotation: setup packages ## Rotate the keys of 1,000 roots in one task, against a loop of zfs change-key: ARGS="--n 100"
	@PYTHONPATH=.tree .venv/bin/python -m ansible_collections.zfsfleet.encryption.tests.benchmark.rotation $(ARGS)

.PHONY: fleet
fleet: setup ## Rotate the keys of simulated hosts, to see what the controller spends: ARGS="--hosts 1000"
	@PYTHONPATH=.tree .venv/bin/python -m ansible_collections.zfsfleet.encryption.tests.benchmark.fleet $(ARGS)

.PHONY: demo
demo: setup packages ## Encrypt, lock and unlock a pool in a throw-away VM
	@tests/demo/run

.PHONY: test
test: ## The gate: set-up, linters, package, sanity, unit, conformance, wire, leaks, faults, scenarios
	@tools/test

.PHONY: mutants
mutants: setup ## Plant faults in copies of the sources, each to be seen by a test; words of their names in ARGS
	@PYTHONPATH=tests .venv/bin/python -m mutants.run $(ARGS)

.PHONY: matrix
matrix: setup ## Sanity and unit tests on every ansible-core and Python that the machine has: ONLY="2.19 3.9"
	@.venv/bin/python tools/matrix.py $(ONLY)

.PHONY: full
full: ## Run one part that is too long for the gate: PART=target
	@$(if $(PART),$(MAKE) $(PART),echo "make full PART=target: say which" >&2; exit 2)

.PHONY: release
release: setup ## Write the changelog of the version in galaxy.yml, then build and check its artefact
	@antsibull-changelog lint
	@antsibull-changelog release
	@$(MAKE) package

.PHONY: lock
lock: ## Resolve requirements/dev.in anew for every Python (needs uv)
	@tools/lock

.PHONY: clean
clean: ## Stop all VMs and remove what tests left in the checkout
	@if [ -x $(VM) ]; then $(VM) stop --all; fi
	rm -rf .ansible .tree tests/output *.tar.gz

.PHONY: distclean
distclean: clean ## Also remove .venv, the disks of VMs, their images (shared by all checkouts) and caches
	@if [ -x $(VM) ]; then $(VM) clean --cache; fi
	rm -rf .venv .testbed .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# hnvlab: the two commands that matter are `make lab-up` and `make test`.

PYTHON   ?= python3
TOPOLOGY ?= topologies/hybrid-cloud.yml
LAB      ?=

VENV    := .venv
BIN     := $(VENV)/bin
HNVLAB  := $(BIN)/hnvlab
RUNTIME := $(VENV)/.runtime-installed
DEVELOP := $(VENV)/.develop-installed
BENCH   := $(VENV)/.bench-installed
STOCK   := $(VENV)/.stock-kernel-installed

# What the tests use of the machine itself; the lab needs none of it, its nodes are containers.
TEST_PACKAGES := bird2 bpftool charon-systemd clang iperf3 iproute2 iputils-ping libbpf-dev \
    libcharon-extauth-plugins libcharon-extra-plugins libstrongswan-extra-plugins libstrongswan-standard-plugins \
    nftables s6 strongswan-swanctl tcpdump traceroute tshark
# What test-stock-kernel needs beside them: the kernel, and what emulates a machine for it.
STOCK_PACKAGES := busybox-static linux-image-amd64 qemu-system-x86 udev

.DEFAULT_GOAL := help
.PHONY: help lab-up lab-down check test test-fast test-long lint format bench bench-datapath bench-control bench-gateway test-stock-kernel engine-stop proto docs clean system-packages

help: ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 20
	@echo; echo "  TOPOLOGY=FILE chooses the lab (default $(TOPOLOGY)), LAB=NAME a running one."

lab-up: $(RUNTIME) ## bring the lab up; converges, so a second run changes nothing
	@$(HNVLAB) up $(TOPOLOGY)

lab-down: $(RUNTIME) ## remove everything of the lab (LAB=NAME), or of the only one that runs
	@$(HNVLAB) down $(LAB)

check: $(RUNTIME) ## run the assertions of the lab's topology file
	@$(HNVLAB) check $(LAB)

engine-stop: $(RUNTIME) ## end the Docker engine, if `lab-up` started it
	@$(HNVLAB) engine-stop

test: $(DEVELOP) system-packages lint ## lint, types, pure, data path and end-to-end tests
	$(BIN)/pytest

test-long: $(DEVELOP) system-packages ## 100,000 frames through the switch and its model; minutes
	$(BIN)/pytest -s tests/datapath/long_switch_properties.py

test-fast: $(DEVELOP) ## only what needs neither root nor Docker
	$(BIN)/pytest tests/unit tests/golden -m "not root and not docker"

test-stock-kernel: TEST_PACKAGES += $(STOCK_PACKAGES)
test-stock-kernel: $(STOCK) system-packages ## the data path in Debian's stock kernel, emulated; its own GRE, VXLAN, netem and VLAN
	$(BIN)/python -m tests.stock_kernel

lint: $(DEVELOP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEVELOP) ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOP) system-packages ## measure, as ratios to a baseline of the same run
	$(BIN)/python -m tests.bench

bench-datapath: $(BENCH) system-packages ## measure the data path beside bare cables and the kernel's VXLAN; writes docs/performance.md
	$(BIN)/python -m tests.bench.datapath

bench-control: $(BENCH) system-packages ## measure policy changes, a push of 60,000 records, live migration; writes docs/performance.md
	$(BIN)/python -m tests.bench.control

bench-gateway: $(BENCH) system-packages ## measure the gateway's connections beside strongSwan and routing alone, and a hundred tenants; writes docs/performance.md
	$(BIN)/python -m tests.bench.gateway

proto: $(DEVELOP) ## generate the southbound messages from their definition
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. lab/southbound/southbound.proto

docs: $(DEVELOP) ## generate what is generated of docs/: topology.md and its JSON Schema, cli.md
	$(BIN)/python -m lab.model.schema
	$(BIN)/python -m lab.cli.reference

clean: ## remove the virtual environment and everything generated
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# --- what stands behind the targets -------------------------------------------------------------------------------

# Debian cuts ensurepip out of Python: then the package that brings it back is needed first.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("hnvlab needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q && apt-get install -yq python3-venv; } || \
	    { echo "Python lacks the venv module: install your distribution's python3-venv" >&2; exit 4; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): $(BIN)/python pyproject.toml constraints.txt
	@echo "installing hnvlab into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(DEVELOP): $(BIN)/python pyproject.toml constraints.txt
	@echo "installing hnvlab and its development tools into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[node,dev]'
	@touch $@ $(RUNTIME)

$(BENCH): $(DEVELOP)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[node,dev,bench]'
	@touch $@

$(STOCK): $(DEVELOP)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[node,dev,stock-kernel]'
	@touch $@

# Debian starts the services it installs, unless it believes to be in runlevel 1.
system-packages:
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(TEST_PACKAGES) 2>/dev/null \
	    | sed -n 's/^installed //p' | sort | comm -13 - <(printf '%s\n' $(TEST_PACKAGES) | sort)); \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing for the tests:" $$missing; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	        apt-get install -qq --yes --no-install-recommends $$missing >/dev/null; \
	else \
	    echo "the tests need these packages:" $$missing >&2; exit 4; \
	fi

SHELL := /bin/bash

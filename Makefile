# A fresh machine needs Python 3.11 and make, nothing else; root and ordinary users alike.

UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin

export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# Accounts without a home of their own (containers) keep the package cache here.
ifeq ($(shell test -w "$$HOME" || echo no),no)
export UV_CACHE_DIR := $(CURDIR)/.tools/cache
export PIP_CACHE_DIR := $(CURDIR)/.tools/cache/pip
endif

.PHONY: setup run test check fmt contracts bench soak fuzz test-cluster sbom audit-deps

setup: $(UV)  ## install what uv.lock names into .venv; quick when nothing changed
	@$(UV) sync --locked --quiet --python 3.11

run: setup  ## the whole registry on this machine
	@$(BIN)/certibranche up

test: check  ## everything that must pass
	$(BIN)/pytest -n auto --dist loadfile

test-cluster: setup  ## three NATS servers that die, under posting: about two minutes
	$(BIN)/pytest tests/cluster -s

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(UV)  ## measure, beside other event stores; NAMES="appends http" for some, ARGS=--save to keep
	@$(UV) sync --locked --quiet --python 3.11 --group bench
	$(BIN)/python -m tests.bench $(NAMES) $(ARGS)

soak: setup  ## a million lines of NDJSON: the server's memory must not grow; some minutes
	$(BIN)/python -m tests.soak.ndjson

fuzz: setup  ## hundreds of requests for each operation of the OpenAPI document, and spoilt events: some minutes
	FUZZ_EXAMPLES=100 $(BIN)/pytest tests/http/test_openapi.py tests/http/test_hostile_events.py --timeout 600

sbom: setup  ## what the registry is made of, as CycloneDX, in dist/sbom.cdx.json
	@mkdir -p dist
	UV=$(UV) $(BIN)/python -m services.supply sbom > dist/sbom.cdx.json

audit-deps: setup  ## known vulnerabilities of what is locked; needs the internet, skipped with a notice without
	UV=$(UV) $(BIN)/python -m services.supply audit

contracts: setup  ## write the contracts as files: OpenAPI, JSON Schemas, examples, problems
	$(BIN)/python -m services.contract_files

# The version is part of the target's condition: a new UV_VERSION is installed over an old one.
$(UV): Makefile
	@python=$$(command -v python3.11 || command -v python3) && $$python -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $(UV)

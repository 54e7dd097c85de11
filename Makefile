# freshet's commands. `make help` lists them.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Bootstraps everything else; its own version is pinned here because nothing is installed yet.
UV_VERSION := 0.13.8
STAMP := $(VENV)/.setup-done
EXTRAS := jobs stack lake dev

# uv reads its own variables only. Whoever told pip where packages come from has said enough.
comma := ,
empty :=
space := $(empty) $(empty)
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS)))
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z%-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## install everything into .venv, and fetch the jars; again only when pins change

$(STAMP): pyproject.toml constraints.txt stack/pom.xml $(wildcard jvm/freshet/flink/*.java)
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) isn't there; install Python 3.11, and run" \
	       "\`make setup PYTHON=/path/to/python3.11\`" >&2; exit 1; }
	@$(PYTHON) stack/preflight.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --requirements constraints.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --editable .
	$(BIN)/freshet stack prepare
	@touch $@

.PHONY: setup-train
setup-train: setup ## also install what models are made with (torch, large)
	$(BIN)/uv pip install --python $(BIN)/python --constraints constraints-train.txt --editable '.[train]'

.PHONY: demo
demo: setup ## start everything, load a shop's history, show a recommendation change
	$(BIN)/freshet demo

.PHONY: test
test: setup ## run every test, the end-to-end ones on the real servers
	$(BIN)/python -m pytest

.PHONY: fuzz
fuzz: setup ## the tests that make requests up, with twenty times as many (FUZZ_TIMES=n for others)
	FUZZ_TIMES=$(or $(FUZZ_TIMES),20) $(BIN)/python -m pytest --timeout 0 tests/serving/test_fuzz.py \
	  tests/serving/test_raw_http.py tests/serving/bandit/test_any_request.py

.PHONY: check
check: setup ## lint, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m schemas.publish --check
	$(BIN)/python -m serving.publish --check
	$(BIN)/python -m serving.contracts.generate --check
	$(BIN)/python -m freshet.metrics_reference --check
	$(BIN)/python -m freshet.dashboard --check

.PHONY: contracts
contracts: setup ## write the published contract of the HTTP interface, and the code of the .proto files
	$(BIN)/python -m serving.publish
	$(BIN)/python -m serving.contracts.generate

.PHONY: dashboard
dashboard: setup ## write the reference of metrics and the dashboard that shows them
	$(BIN)/python -m freshet.metrics_reference
	$(BIN)/python -m freshet.dashboard

.bench-venv/.done: bench/peers-requirements.txt | setup
	test -x .bench-venv/bin/python || $(PYTHON) -m venv .bench-venv
	$(BIN)/uv pip install --python .bench-venv/bin/python --requirements bench/peers-requirements.txt
	@touch $@

.PHONY: bench-peers bench-minimal
bench-peers bench-minimal: setup .bench-venv/.done ## measure other stream processors at the same least work
	$(BIN)/python -m bench.peers

bench-%: setup ## measure one thing: bench-NAME runs bench/NAME.py
	$(BIN)/python -m bench.$(subst -,_,$*)

.PHONY: chaos
chaos: bench-chaos ## five minutes of load while servers are killed at random; then count again

.PHONY: chaos-serving
chaos-serving: bench-killing ## two minutes of requests while each server is killed, stopped and revived

.PHONY: stop
stop: ## stop what `make demo` or `freshet stack up` left running
	@if test -x $(BIN)/freshet; then $(BIN)/freshet stack down; else echo "nothing is set up"; fi

.PHONY: clean
clean: stop ## stop, and remove the environment and all data
	rm -rf $(VENV) .bench-venv .freshet .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: lock
lock: ## renew constraints.txt from pyproject.toml, keeping pins that still fit
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS:%=--extra %) --quiet \
	  --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-header --output-file constraints.txt
	@sed -i -E '/^--|:\/\//d' constraints.txt

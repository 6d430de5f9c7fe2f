# make demo   builds a small film, colorizes it, says where everything is
# make test   lint, types and all tests; those that need a server which is not here (scripts/install-servers) are skipped
# make test-s3   the storage tests again, with a real S3 server beside moto's (installs Ceph's)
# All set up what they need in .venv the first time and are quick after that.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-s3 lint setup clean

demo: $(VENV)/.app
	$(BIN)/kinecolor demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-s3: $(VENV)/.dev
	./scripts/install-servers radosgw
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/contracts/test_storage*.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

setup: $(VENV)/.dev

# Debian splits venv from Python; virtualenv from pip does the same work.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) 2>/dev/null \
	  || { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV) 2>/dev/null; } \
	  || { $(PYTHON) -m pip install --quiet --user --break-system-packages virtualenv && $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.app: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing kinecolor into $(VENV) (about 1 GB; a few minutes the first time) …"
	$(PIP) --editable .
	./scripts/ensure-opencv $(BIN)/python
	@touch $@

$(VENV)/.dev: $(VENV)/.app
	@echo "Installing the test tools and the diffusion extra …"
	$(PIP) --editable '.[dev,diffusion]'
	@touch $@

clean:
	rm -rf $(VENV) demo kinecolor-work

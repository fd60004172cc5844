# Fresh machine with Python 3.11+ and make: `make demo`, `make test`. Each does the set-up it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ORACLES := $(VENV)/.oracles

.PHONY: demo test check tests clean

demo: $(READY)
	$(BIN)/python main.py --profile embedded

test: check tests

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy src

tests: $(ORACLES)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo "no chromium: the tests of the page are skipped (apt-get install chromium)"
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadgroup

clean:
	rm -rf $(VENV) results/embedded results/embedded_nt

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: MINTS needs Python 3.11 or newer; this is `$(PYTHON) --version`: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(ORACLES): $(READY) requirements-oracles.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-oracles.txt
	touch $@

# Fresh machine with Python 3.11+ and make: `make demo`, `make test`. Each does the set-up it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ORACLES := $(VENV)/.oracles

.PHONY: demo test check tests programs clean

demo: $(READY)
	$(BIN)/python main.py --profile embedded

test: check tests

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy src

tests: $(ORACLES) programs
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What tests need beside Python: the page's a browser, the corpus audit's NCBI BLAST+. Where one is not there and cannot
# be installed without a question, its tests are skipped.
programs:
	@$(call have,chromium) || $(call have,chromium-browser) || $(call have,google-chrome) || $(call install,chromium,of the page)
	@$(call have,blastn) || $(call install,ncbi-blast+,of the corpus audit)

have = command -v $(1) >/dev/null
apt-get = DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=0 -o Acquire::http::Timeout=20
install = { \
	$(call have,apt-get) && [ `id -u` -eq 0 ] && echo "installing $(1) …" && \
	{ $(apt-get) update; $(apt-get) install --yes --no-install-recommends $(1); } </dev/null >/dev/null 2>&1; } || \
	echo "$(1) is not installed: tests $(2) are skipped (as root: apt-get install $(1))"

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

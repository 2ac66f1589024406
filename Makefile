# make demo   the whole road on what the project ships; writes demo/
# make test   lint, types and tests
# make crosscheck   the exported files in other people's interpreters, each in its own environment
# make page   the demo's page, by npm; make apk puts it into an APK
# make bench  the figures of the note, measured on this machine

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PAGE := android_demo/page/index.html
NPM_INSTALLED := android_demo/node_modules/.package-lock.json
PAGE_SOURCES := $(wildcard android_demo/*.json android_demo/*.mjs android_demo/LICENCES.md \
	android_demo/web/*.* android_demo/web/src/*)

.DEFAULT_GOAL := help
.PHONY: help demo test page page-for-tests apk crosscheck bench clean

help:
	@sed -n 's/^# //p' Makefile

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into $(VENV): some minutes the first time."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[train,dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python -m edgevsr.road

page: $(PAGE)

$(NPM_INSTALLED): android_demo/package-lock.json
	cd android_demo && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

$(PAGE): $(PAGE_SOURCES) $(NPM_INSTALLED)
	cd android_demo && npm run build
	touch $@

# Before the tests start, because each of their workers would build it.
page-for-tests:
	@if command -v npm >/dev/null && $(MAKE) --no-print-directory $(NPM_INSTALLED); then \
		$(MAKE) --no-print-directory page; \
	else \
		echo "npm is missing or fetched nothing: the tests of the demo's page are skipped" >&2; \
	fi

apk: $(INSTALLED) $(PAGE)
	android_demo/build_apk.sh

test: $(INSTALLED) page-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m tests.chromium
	$(BIN)/pytest --numprocesses auto

crosscheck: $(INSTALLED)
	tests/crosscheck/crosscheck.sh

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

clean:
	rm -rf demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

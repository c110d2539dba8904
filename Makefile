# setup: what the rest needs.  demo: see it work.  package: a wheel and Debian packages, in dist/.
# test, test-system, check, bench, screenshots: what its developers run.
.PHONY: setup demo test test-system check bench screenshots package reliability soak clean

python := .venv/bin/python
inputs := pyproject.toml constraints.txt scripts/setup

setup: .venv/.setup-run

.venv/.setup-run: $(inputs)
	scripts/setup run

.venv/.setup-test: $(inputs)
	scripts/setup test

.venv/.setup-package: $(inputs)
	scripts/setup package

.venv/.setup-system: $(inputs)
	scripts/setup system

.venv/.setup-bench: $(inputs)
	scripts/setup bench

.venv/.setup-screenshots: $(inputs)
	scripts/setup screenshots

# ONCE=1: unmount and exit after the tour instead of staying until Ctrl-C.
demo: .venv/.setup-run
	.venv/bin/axxonfs demo mnt $(if $(ONCE),--once)

# TESTS=tests/unit narrows it; ARGS=... goes to pytest.
test: .venv/.setup-test
	.venv/bin/pytest --ignore=tests/system $(ARGS) $(TESTS)

# In a Debian that is booted in a container, with the packages installed; needs root.
test-system: package .venv/.setup-system
	.venv/bin/pytest tests/system $(ARGS)

package: .venv/.setup-package
	rm -rf dist build/documents
	$(python) -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .
	$(python) -m release.documents build/documents
	release/build-deb dist/axxonfs-*.whl build/documents dist

check: .venv/.setup-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	scripts/check-wire $(python)

# What was seen when things went wrong goes into docs/reliability.md. The soak takes MINUTES.
reliability: .venv/.setup-test
	AXXONFS_RECORD=1 AXXONFS_MATRIX=all AXXONFS_BLACK_HOLE_S=60 AXXONFS_CATALOGUE_MINUTES=60 AXXONFS_PAIRS=200 AXXONFS_ORACLE_EXAMPLES=200 .venv/bin/python -m pytest --ignore=tests/faults/test_soak.py tests/faults
	AXXONFS_JOB_FACTOR=60 .venv/bin/python -m pytest tests/rpc/test_fsspec_exports.py -k longer

soak: .venv/.setup-test
	AXXONFS_RECORD=1 AXXONFS_SOAK_MINUTES=$(or $(MINUTES),60) .venv/bin/python -m pytest -s tests/faults/test_soak.py

# ARGS="--quick", "--only NAME", "--plot"; see --help.
bench: .venv/.setup-bench
	$(python) -m benchmarks $(ARGS)

# The pictures of the docs, taken anew.
screenshots: .venv/.setup-screenshots
	scripts/screenshots

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

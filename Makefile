# setup: what the rest needs.  demo: see it work.  test, check, bench: what its developers run.
.PHONY: setup demo test check bench reliability soak clean

python := .venv/bin/python
inputs := pyproject.toml constraints.txt scripts/setup

setup: .venv/.setup-run

.venv/.setup-run: $(inputs)
	scripts/setup run

.venv/.setup-test: $(inputs)
	scripts/setup test

.venv/.setup-bench: $(inputs)
	scripts/setup bench

# ONCE=1: unmount and exit after the tour instead of staying until Ctrl-C.
demo: .venv/.setup-run
	.venv/bin/axxonfs demo mnt $(if $(ONCE),--once)

# TESTS=tests/unit narrows it; ARGS=... goes to pytest.
test: .venv/.setup-test
	.venv/bin/pytest $(ARGS) $(TESTS)

check: .venv/.setup-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	scripts/check-wire $(python)

# What was seen when things went wrong goes into docs/reliability.md. The soak takes MINUTES.
reliability: .venv/.setup-test
	AXXONFS_RECORD=1 AXXONFS_MATRIX=all AXXONFS_BLACK_HOLE_S=60 AXXONFS_CATALOGUE_MINUTES=60 AXXONFS_ORACLE_EXAMPLES=200 .venv/bin/python -m pytest --ignore=tests/faults/test_soak.py tests/faults

soak: .venv/.setup-test
	AXXONFS_RECORD=1 AXXONFS_SOAK_MINUTES=$(or $(MINUTES),60) .venv/bin/python -m pytest -s tests/faults/test_soak.py

# ARGS="--quick", "--only NAME", "--plot"; see --help.
bench: .venv/.setup-bench
	$(python) -m benchmarks $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

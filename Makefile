# setup: what the rest needs.  demo: see it work.  test, check, bench: what its developers run.
.PHONY: setup demo test check bench clean

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

# ARGS="--quick", "--only NAME", "--plot"; see --help.
bench: .venv/.setup-bench
	$(python) -m benchmarks $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

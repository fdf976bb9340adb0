# `make` alone says what there is.

# scripts/setup.py takes the user's LIBTORCH and leaves the link target/libtorch. Cargo then finds libtorch by
# that link alone (.cargo/config.toml): with the same name in every shell nothing is ever built twice.
SETUP := LIBTORCH='$(LIBTORCH)' python3 scripts/setup.py
unexport LIBTORCH LIBTORCH_INCLUDE LIBTORCH_LIB LIBTORCH_STATIC LIBTORCH_USE_PYTORCH

DEVICE ?= cuda

.DEFAULT_GOAL := help
.PHONY: help quickstart test setup install lint golden bench gpu-check clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 20

quickstart: setup ## Compare four losses on synthetic characters, from nothing to a table, on any machine
	cargo build
	target/debug/sweep run sweeps/quickstart.toml

test: setup ## Build everything and run all tests
	cargo build --workspace
	cargo test --workspace

setup: ## Find or install libtorch (see scripts/setup.py); set LIBTORCH to use your own
	@$(SETUP)

install: setup ## Install `sweep` and `sweep-trainer` into ~/.cargo/bin; they need this folder's .venv afterwards
	cargo install --locked --path . --bin sweep
	cargo install --locked --path src/trainer

lint: setup ## Check formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

golden: ## Compute the tests' reference values anew, with the Python libraries they come from
	python3 scripts/golden.py

bench: setup ## Measure speed against the same training in Python, into benches/README.md (needs `make golden` once)
	python3 benches/run.py

gpu-check: setup ## Check on a machine with a GPU what tests cannot (DEVICE=cpu rehearses it)
	scripts/gpu_check.sh $(DEVICE)

clean: ## Remove what was built; .venv (libtorch), data, results and reports stay
	cargo clean

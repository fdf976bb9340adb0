# `make` lists the targets.

# scripts/setup.py reads LIBTORCH and makes the link target/libtorch. Cargo uses only that link (.cargo/config.toml), so
# the path of libtorch is the same in every shell and nothing is rebuilt.
SETUP := LIBTORCH='$(LIBTORCH)' python3 scripts/setup.py
unexport LIBTORCH LIBTORCH_INCLUDE LIBTORCH_LIB LIBTORCH_STATIC LIBTORCH_USE_PYTORCH

DEVICE ?= cuda

.DEFAULT_GOAL := help
.PHONY: help quickstart test setup install lint golden bench gpu-check clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 20

quickstart: setup ## Install libtorch, build, and compare losses on a built-in data set
	cargo build
	target/debug/sweep run sweeps/quickstart.toml

test: setup ## Build everything and run all tests
	cargo build --workspace
	cargo test --workspace

setup: ## Find or install libtorch; set LIBTORCH to use your own
	@$(SETUP)

install: setup ## Install `sweep` and `sweep-trainer` into ~/.cargo/bin; keep this folder, they use its .venv
	cargo install --locked --path . --bin sweep
	cargo install --locked --path src/trainer

lint: setup ## Check formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

golden: ## Recompute the reference values of the tests with Python libraries
	python3 scripts/golden.py

bench: setup ## Measure speed against Python and write benches/README.md (run `make golden` once before)
	python3 benches/run.py

gpu-check: setup ## Check training and evaluation on a GPU (DEVICE=cpu is a rehearsal)
	scripts/gpu_check.sh $(DEVICE)

clean: ## Remove build outputs; .venv, data, results and reports are kept
	cargo clean

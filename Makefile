# `make` lists the targets.

# scripts/setup.py reads LIBTORCH and makes the link target/libtorch. Cargo uses only that link (.cargo/config.toml), so
# the path of libtorch is the same in every shell and nothing is rebuilt.
SETUP := LIBTORCH='$(LIBTORCH)' CUDA='$(CUDA)' python3 scripts/setup.py
unexport LIBTORCH LIBTORCH_INCLUDE LIBTORCH_LIB LIBTORCH_STATIC LIBTORCH_USE_PYTORCH

DEVICE ?= cuda
ATTACKS ?= 100
ATTACK_SEED ?= 1

# Where `make install` puts bin/ and lib/.
PREFIX ?= $(HOME)/.cargo
# The libraries of an installed program, relative to its folder.
INSTALLED := SWEEP_LIBRARIES='$$ORIGIN/../lib/sweep/torch/lib'
ARCHIVE := $(CURDIR)/target/archive/sweep

.DEFAULT_GOAL := help
.PHONY: help quickstart test attack setup install archive lint golden bench gpu-check gpu-pack clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 20

quickstart: setup ## Install libtorch, build, and compare losses on a built-in data set
	cargo build
	target/debug/sweep run sweeps/quickstart.toml

test: setup ## Build everything and run all tests
	cargo build --workspace
	cargo test --workspace

attack: setup ## Attack sweeps with failing disks, damaged files and signals (ATTACKS=100, ATTACK_SEED=1)
	ATTACKS=$(ATTACKS) ATTACK_SEED=$(ATTACK_SEED) cargo test --test integration attack -- --nocapture

setup: ## Find or install libtorch; set LIBTORCH to use your own, CUDA=1 for GPUs that this machine lacks
	@$(SETUP)

install: setup ## Install both programs and libtorch into PREFIX (~/.cargo); they do not need this folder
	$(INSTALLED) cargo install --locked --root '$(PREFIX)' --path . --bin sweep
	$(INSTALLED) cargo install --locked --root '$(PREFIX)' --path src/trainer
	python3 scripts/libraries.py '$(PREFIX)/lib/sweep'

archive: ## Make target/sweep.tar.gz: programs, libtorch, completions and manual pages for another machine
	rm -rf '$(ARCHIVE)'
	$(MAKE) install PREFIX='$(ARCHIVE)'
	mkdir -p '$(ARCHIVE)/share/bash-completion/completions' '$(ARCHIVE)/share/zsh/site-functions' \
	    '$(ARCHIVE)/share/fish/vendor_completions.d'
	'$(ARCHIVE)/bin/sweep' completions bash > '$(ARCHIVE)/share/bash-completion/completions/sweep'
	'$(ARCHIVE)/bin/sweep' completions zsh > '$(ARCHIVE)/share/zsh/site-functions/_sweep'
	'$(ARCHIVE)/bin/sweep' completions fish > '$(ARCHIVE)/share/fish/vendor_completions.d/sweep.fish'
	'$(ARCHIVE)/bin/sweep' man --into '$(ARCHIVE)/share/man/man1'
	cp LICENSE-MIT LICENSE-APACHE README.md '$(ARCHIVE)'
	tar -C target/archive --exclude='.crates*' -czf target/sweep.tar.gz sweep

lint: setup ## Check formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

golden: ## Recompute the reference values of the tests with Python libraries
	python3 scripts/golden.py

bench: setup ## Measure speed against Python and write benches/README.md (run `make golden` once before)
	python3 benches/run.py

gpu-check: ## Check training and evaluation on a GPU (DEVICE=stand-in is a rehearsal; CHECKS="sharing resume" does these)
	scripts/gpu_check.sh $(DEVICE) $(CHECKS)

gpu-pack: setup ## Pack the programs for `make gpu-check` on a machine without cargo and network
	scripts/gpu_check.sh pack

clean: ## Remove build outputs; .venv, data, results and reports are kept
	cargo clean

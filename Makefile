# Two commands do all the set-up on a fresh Debian machine with Rust: `make demo` and `make test`.

# One target folder for all checkouts, outside of them: RocksDB, AWS-LC and Arrow are built once.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/sealpost/target
SEALPOST := $(CARGO_TARGET_DIR)/debug/sealpost
WHAT ?= rehearsal
ROWS ?= 100000
FORMAT ?= csv
RUNS ?= 5

.PHONY: demo test bench perf lint fmt build setup test-setup

demo: build ## install what is missing, build, send the demo campaign into the embedded MX
	$(SEALPOST) --config config/demo/sealpost.toml rehearse config/demo/eob.toml

test: setup test-setup lint ## install what tests need, check everything, run every test
	cargo nextest run --workspace --locked --no-fail-fast

bench: setup ## cost per stage (criterion), under the profile in which RocksDB is already built
	cargo bench --package sealpost --bench '*' --profile dev --locked

perf: build ## WHAT=rehearsal (speed), durability (what leases cost), throttled (a slow site), handshakes or wire (a far one); appends to perf/results
	cargo run --quiet --locked --package perf -- --what $(WHAT) --rows $(ROWS) --format $(FORMAT) --runs $(RUNS) --sealpost $(SEALPOST)

lint: setup ## formatting, clippy and documentation, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

fmt:
	cargo fmt --all

build: setup
	cargo build --locked --workspace

setup:
	@.ci/setup build

test-setup:
	@.ci/setup test
	@tests/support/install.sh

# Two commands do all the set-up on a fresh Debian machine with Rust: `make demo` and `make test`.

# One target folder for all checkouts, outside of them: RocksDB, AWS-LC and Arrow are built once.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/sealpost/target
SEALPOST := $(CARGO_TARGET_DIR)/debug/sealpost
WHAT ?= rehearsal
ROWS ?= 100000
FORMAT ?= csv
RUNS ?= 5
PINNED ?= yes
CONNECTIONS ?= 20
LETTER ?= notice

# RocksDB has no part in it: the ordinary build's is linked.
WITH_FIPS = CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)-fips ROCKSDB_STATIC=1 \
	ROCKSDB_LIB_DIR=$$(dirname $$(ls -t $(CARGO_TARGET_DIR)/debug/build/librocksdb-sys-*/out/librocksdb.a | head -1))

.PHONY: demo test bench instructions perf fips lint fmt build setup test-setup

demo: build ## install what is missing, build, send the demo campaign into the embedded MX
	$(SEALPOST) --config config/demo/sealpost.toml rehearse config/demo/eob.toml

test: setup test-setup lint ## install what tests need, check everything, run every test
	cargo nextest run --workspace --locked --no-fail-fast

bench: setup ## cost per stage (criterion), under the profile in which RocksDB is already built
	cargo bench --package sealpost --bench '*' --profile dev --locked

instructions: setup ## instructions and allocations a message, stage by stage (valgrind): comparable on a loaded machine
	@command -v valgrind >/dev/null || { echo "instructions: valgrind is needed (apt-get install valgrind)" >&2; exit 1; }
	@benches/instructions.sh "$$(cargo build --quiet --locked --workspace --bench instructions --message-format json | \
		sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p')" $(STAGES)

perf: build ## WHAT=speed, peers, rehearsal, durability, throttled, handshakes, wire, reservations, shaping, pace, drop or sites (see perf/README.md); appends to perf/results
	$(CARGO_TARGET_DIR)/debug/perf --what $(WHAT) --rows $(ROWS) --format $(FORMAT) --runs $(RUNS) --pinned $(PINNED) \
		--connections $(CONNECTIONS) --letter $(LETTER) $(if $(MODE),--mode $(MODE)) $(if $(PEERS),--peers $(PEERS)) $(if $(RTT),--rtt $(RTT)) --sealpost $(SEALPOST)

fips: build test-setup ## build with AWS-LC's FIPS module (installs CMake and Go) and run every test with it; in a target folder of its own
	@.ci/setup fips
	$(WITH_FIPS) cargo nextest run --workspace --locked --no-fail-fast --features fips

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

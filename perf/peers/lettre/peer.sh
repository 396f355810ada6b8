#!/bin/bash
# The program one would write in Rust: see src/main.rs.
set -eu
. "$(dirname "$(realpath "$0")")/../common.sh"

TARGET=$CACHE/peer-lettre

cmd_install() {
    # A target folder of its own: not Sealpost's.
    CARGO_TARGET_DIR=$TARGET cargo build --quiet --release --locked --manifest-path "$ROOT/perf/peers/lettre/Cargo.toml" >&2 ||
        die "cargo could not build it"
    sed -n '/^name = "lettre"$/{n;s/version = "\(.*\)"/lettre \1/p};/^name = "mail-auth"$/{n;s/version = "\(.*\)"/+ mail-auth \1/p}' \
        "$ROOT/perf/peers/lettre/Cargo.lock" | tr '\n' ' '
}

case ${1:-} in
    install) cmd_install ;;
    prepare) ;;
    run) exec "$TARGET/release/perf-lettre" ;;
    *) die "install, prepare or run" ;;
esac

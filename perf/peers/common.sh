# Sourced by each peer.sh. See README.md for what a script promises and what it is told.
# shellcheck shell=bash
set -eu
export LC_ALL=C

ROOT=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
SELF=$(basename "$(dirname "$(realpath "$0")")")
CACHE=${SEALPOST_CACHE:-${HOME:?neither SEALPOST_CACHE nor HOME is set}/.cache/sealpost}
CACHE=$(realpath -m "$CACHE")
mkdir -p "$CACHE"

die() { printf '%s: %s\n' "$SELF" "$*" >&2; exit 1; }

# What `perf` waits for before it counts, and the word to begin.
ready() {
    echo ready
    read -r word
    [ "$word" = go ] || die "no word to begin"
}

# wait_until SECONDS COMMAND...: until it succeeds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || die "waited in vain for: $*"
        sleep 0.1
    done
}

# Debian's packages: as the tests unpack theirs.
fetch() { # PREFIX PACKAGE PROGRAM...
    # shellcheck disable=SC2034  # unpacked.sh reads it
    (PREFIX=$CACHE/$1 SERVER='' && shift && . "$ROOT/tests/support/unpacked.sh" && unpack "$@") >&2
}
libraries() {
    # shellcheck disable=SC2034
    (PREFIX=$1 SERVER='' && . "$ROOT/tests/support/unpacked.sh" && library_path "$1")
}

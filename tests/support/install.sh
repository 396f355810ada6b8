#!/bin/sh
# Installs what the end-to-end tests need on Debian 12: a Python venv and an
# unpacked (not installed) Postfix, both under ${SEALPOST_CACHE:-~/.cache/sealpost}.
# Idempotent: does nothing when all is there. The system is altered only where
# a shared library Postfix links to, or python3-venv, is missing (apt-get install).
set -eu

CACHE=${SEALPOST_CACHE:-${HOME:?install.sh: neither SEALPOST_CACHE nor HOME is set}/.cache/sealpost}
VENV=$CACHE/venv
POSTFIX=$CACHE/postfix
PINS='dkimpy==1.1.8
PyNaCl==1.6.2
dnspython==2.9.2
cffi==2.1.1
pycparser==3.12
pyarrow==26.0.1'

say() { printf 'install.sh: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

venv_ready() {
    [ -x "$VENV/bin/python" ] && [ -f "$VENV/.sealpost-pins" ] &&
        [ "$(cat "$VENV/.sealpost-pins")" = "$PINS" ]
}
postfix_ready() {
    [ -x "$POSTFIX/usr/lib/postfix/sbin/master" ] && [ -f "$POSTFIX/.sealpost-unpacked" ]
}
missing_libs() {
    LD_LIBRARY_PATH=$1/usr/lib/postfix ldd "$1/usr/lib/postfix/sbin/smtpd" \
        "$1/usr/lib/postfix/sbin/tlsmgr" "$1/usr/lib/postfix/sbin/master" \
        "$1/usr/sbin/postconf" 2>&1 | grep 'not found' | sort -u || :
}
all_ready() {
    venv_ready && postfix_ready && [ -z "$(missing_libs "$POSTFIX")" ]
}

# Each has its own lock and is done at once when all is there.
here=$(dirname "$0")
for server in knot prometheus exim tlsrpt; do
    "$here/$server.sh" install || die "$server.sh install failed"
done

all_ready && exit 0

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "must run '$*' as root, and there is no sudo"
    fi
}
updated=
apt_update() {
    [ -z "$updated" ] || return 0
    say "apt-get update"
    as_root apt-get update -qq >&2 || die "apt-get update failed"
    updated=1
}
apt_install() {
    say "apt-get install $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 && return 0
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
        die "apt-get install $* failed"
}

mkdir -p "$CACHE" || die "cannot create $CACHE"
# One installer at a time; the second finds everything there.
exec 9>"$CACHE/.support-install.lock"
flock 9 || die "cannot lock $CACHE/.support-install.lock"

if ! venv_ready; then
    say "creating $VENV"
    rm -rf "$VENV"
    if ! command -v python3 >/dev/null 2>&1; then apt_install python3 python3-venv; fi
    if ! log=$(python3 -m venv "$VENV" 2>&1); then
        # Debian's python3 lacks ensurepip until python3-venv is there.
        rm -rf "$VENV"
        apt_install python3-venv
        log=$(python3 -m venv "$VENV" 2>&1) || die "python3 -m venv $VENV failed: $log"
    fi
    # shellcheck disable=SC2086  # one word per pin
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps $PINS >&2 ||
        die "pip could not install: $(echo $PINS)"
    "$VENV/bin/python" -c 'import dkim, nacl.signing, dns.resolver, pyarrow.parquet' ||
        die "the packages in $VENV do not import"
    printf '%s\n' "$PINS" >"$VENV/.sealpost-pins"
fi

if ! postfix_ready || [ -n "$(missing_libs "$POSTFIX")" ]; then
    say "unpacking Debian's postfix to $POSTFIX"
    tmp=$(mktemp -d "$CACHE/.postfix.XXXXXX") || die "cannot write to $CACHE"
    trap 'rm -rf "$tmp"' EXIT
    cd "$tmp"
    if ! apt-get download -qq -o APT::Sandbox::User=root postfix >&2; then
        apt_update
        apt-get download -qq -o APT::Sandbox::User=root postfix >&2 ||
            die "apt-get download postfix failed"
    fi
    set -- postfix_*.deb
    [ -f "$1" ] || die "apt-get download left no postfix_*.deb"
    dpkg -x "$1" "$tmp/root" || die "dpkg -x $1 failed"
    if [ -n "$(missing_libs "$tmp/root")" ]; then
        # The package's own dependencies that are shared libraries.
        libs=$(dpkg-deb -f "$1" Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ (|]*\).*/\1/p')
        # shellcheck disable=SC2086
        apt_install $libs
        left=$(missing_libs "$tmp/root")
        [ -z "$left" ] || die "Postfix still lacks shared libraries: $left"
    fi
    dpkg-deb -f "$1" Version >"$tmp/root/.sealpost-unpacked"
    chmod 755 "$tmp/root"
    rm -rf "$POSTFIX"
    mv "$tmp/root" "$POSTFIX"
    cd "$CACHE"
fi

all_ready || die "something is still missing under $CACHE"
say "ready: $VENV, $POSTFIX (postfix $(cat "$POSTFIX/.sealpost-unpacked"))"

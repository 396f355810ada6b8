# Sourced by knot.sh and prometheus.sh: Debian packages unpacked, not installed,
# under ${SEALPOST_CACHE:-~/.cache/sealpost}, and one server of them per DIR.
# The caller sets PREFIX and SERVER, the path of the server's program.
# shellcheck shell=bash

export LC_ALL=C # a decimal point in EPOCHREALTIME, and messages that grep knows
SELF=${0##*/}
CACHE=${SEALPOST_CACHE:-${HOME:?$SELF: neither SEALPOST_CACHE nor HOME is set}/.cache/sealpost}
CACHE=$(realpath -m "$CACHE")

die() { printf '%s: error: %s\n' "$SELF" "$*" >&2; exit 1; }
# The comment block at the caller's head holds its interface, indented.
usage() { sed -n "/^#   $SELF /,/^#\$/s/^# \{0,1\}//p" "$0" >&2; exit 2; }

check_port() {
    case $1 in '' | *[!0-9]*) die "not a port number: $1" ;; esac
    { [ "$1" -ge 1 ] && [ "$1" -le 65535 ]; } || die "not a port number: $1"
    # Asked here, not left to the server: two servers that both set
    # SO_REUSEPORT would share the port, and answer by turns.
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then die "port $1 is already in use"; fi
}

# --- unpacking ---------------------------------------------------------------

# The prefix's folders of shared libraries, for LD_LIBRARY_PATH. OpenDBX's is in no folder named for the machine.
library_path() {
    find "$1/lib" "$1/usr/lib" -maxdepth 1 -name '*-linux-gnu*' -printf '%p:' 2>/dev/null || :
    printf '%s' "$1/usr/lib"
}
lacks_libraries() { LD_LIBRARY_PATH=$(library_path "$1") ldd "$1/$2" 2>&1 | grep 'not found'; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo -n "$@"
    else die "must run '$*' as root, and there is no sudo"
    fi
}

# Into the working directory. An index that is missing or out of date (a fresh
# container, a package since replaced) makes the first try fail.
download() {
    apt-get download -qq -o APT::Sandbox::User=root "$@" >/dev/null 2>&1 && return 0
    as_root apt-get update -qq >&2 || die "apt-get update failed"
    apt-get download -qq -o APT::Sandbox::User=root "$@" >&2 || die "apt-get download $* failed"
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# unpack PACKAGE PROGRAM...: the package, and all shared libraries it needs that
# this system does not have, to PREFIX; nothing if all PROGRAMs are there and complete.
unpack() {
    local package=$1 tmp wanted now seen name lib deb
    shift
    if unpacked "$@"; then return 0; fi
    mkdir -p "$CACHE" || die "cannot create $CACHE"
    # A lock for each package: install.sh may hold its own while it calls us.
    exec 9>"$CACHE/.$package.lock"
    flock 9 || die "cannot lock $CACHE/.$package.lock"
    if unpacked "$@"; then return 0; fi # by another, while we waited
    tmp=$(mktemp -d "$CACHE/.$package.XXXXXX") || die "cannot write to $CACHE"
    # shellcheck disable=SC2064  # tmp is local: expand it now
    trap "rm -rf '$tmp'" EXIT
    cd "$tmp" || die "cannot enter $tmp"
    mkdir root
    wanted=$package seen=" "
    while [ -n "$wanted" ]; do
        now=$wanted wanted=
        # shellcheck disable=SC2086  # one word per package
        download $now
        seen+="$now "
        for name in $now; do
            deb=$(echo "$name"_*.deb)
            [ -f "$deb" ] || die "apt-get download left no ${name}_*.deb"
            dpkg -x "$deb" root || die "dpkg -x $deb failed"
            [ "$name" != "$package" ] || dpkg-deb -f "$deb" Version >root/.sealpost-unpacked
            # Of "a | b" the first; libjs-* are scripts for Prometheus' web pages.
            for lib in $(dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ :(|]*\).*/\1/p'); do
                case $lib in libjs-*) continue ;; esac
                case "$seen$wanted " in *" $lib "*) continue ;; esac
                installed "$lib" || wanted+=${wanted:+ }$lib
            done
        done
    done
    for name; do
        [ -x "root/$name" ] || die "$package has no $name"
        if lacks_libraries root "$name" >&2; then die "$name still lacks shared libraries"; fi
    done
    chmod 755 root
    rm -rf "$PREFIX"
    mv root "$PREFIX"
}
unpacked() {
    local p
    [ -f "$PREFIX/.sealpost-unpacked" ] || return 1
    for p; do
        [ -x "$PREFIX/$p" ] || return 1
        if lacks_libraries "$PREFIX" "$p" >/dev/null; then return 1; fi
    done
}

# --- one server per DIR ------------------------------------------------------

# In DIR, with nothing of the caller's environment; the caller's pipes must not stay open.
launch() {
    [ -x "$SERVER" ] || die "no $SERVER; run $SELF install"
    [ -z "$(server_pid)" ] || die "a server is already running in $DIR"
    cd "$DIR" || die "cannot enter $DIR"
    env -i PATH=/usr/bin:/bin LANG=C LD_LIBRARY_PATH="$(library_path "$PREFIX")" \
        setsid "$SERVER" "$@" </dev/null >"$DIR/output" 2>&1 &
    echo $! >"$DIR/pid"
}

# Empty when none runs: the number in DIR/pid may meanwhile be another program's.
server_pid() {
    local pid
    pid=$(cat "$DIR/pid" 2>/dev/null) && [ -n "$pid" ] || return 0
    case $(readlink "/proc/$pid/exe" 2>/dev/null || :) in
        "$SERVER" | "$SERVER (deleted)") ;;
        *) return 0 ;;
    esac
    case $(readlink "/proc/$pid/cwd" 2>/dev/null || :) in
        "$DIR" | "$DIR (deleted)") echo "$pid" ;;
    esac
}

# wait_for SECONDS COMMAND...: until it succeeds; fails if the server ends or time is up.
wait_for() {
    local deadline=$((SECONDS + $1 + 1)) started= # SECONDS may tick at once
    shift
    while [ "$SECONDS" -lt "$deadline" ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        # Before its exec the process is not yet SERVER.
        if [ -n "$(server_pid)" ]; then started=1
        elif [ -n "$started" ] || ! kill -0 "$(cat "$DIR/pid")" 2>/dev/null; then return 1
        fi
        sleep 0.05
    done
    return 1
}

# fail MESSAGE LOG...: with the end of its output and logs; the server is stopped.
fail() {
    local message=$1
    shift
    { printf '%s: error: %s; the end of its output and log:\n' "$SELF" "$message"
      tail -q -n 15 "$DIR/output" "$@" 2>/dev/null || :; } >&2
    stop_server
    exit 1
}

stop_server() {
    local pid i
    pid=$(server_pid)
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || :
        for i in $(seq 1 200); do
            [ -n "$(server_pid)" ] || break
            if [ "$i" -eq 150 ]; then kill -KILL "$pid" 2>/dev/null || :; fi
            [ "$i" -lt 200 ] || die "process $pid of $DIR would not end"
            sleep 0.05
        done
    fi
    rm -f "$DIR/pid"
}

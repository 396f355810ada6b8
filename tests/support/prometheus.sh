#!/bin/bash
# A real Prometheus for tests, from Debian's package, run from the copy that
# "install" unpacked; nothing of it is installed in the system.
#
#   prometheus.sh install                 unpack it (nothing is done when all is there)
#   prometheus.sh start DIR PORT TARGET   scrape http://TARGET/metrics (host:port) every
#                                         500 ms; HTTP API on 127.0.0.1:PORT
#   prometheus.sh scraped DIR [SECONDS]   wait for a scrape that succeeds and begins after
#                                         this call (30); what it read can then be queried
#   prometheus.sh stop DIR                end it
#   prometheus.sh promtool ARGS...        e.g. promtool check metrics <metrics.txt
#
# The labels of all series are job="sealpost" and instance="TARGET". TARGET need not
# answer yet at start. Prometheus begins to scrape only 5 s after its start (a fixed
# throttle of its discovery): start it early, then use "scraped". All state is in
# DIR: data/, the log is DIR/output. Runs as the caller. It asks nobody but TARGET.
set -euo pipefail

# shellcheck source=tests/support/unpacked.sh
. "$(dirname "$(realpath "$0")")/unpacked.sh"
PREFIX=$CACHE/prometheus
SERVER=$PREFIX/usr/bin/prometheus
START_SECONDS=30

# The answer to GET $1, status line and head included.
get() (
    exec 3<>"/dev/tcp/127.0.0.1/$PORT" || exit 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
    timeout 5 cat <&3
)
ready() { [[ $(get /-/ready) == 'HTTP/1.'?' 200 '* ]]; }

cmd_start() {
    [ $# -eq 2 ] || usage
    PORT=$1
    local target=$2
    check_port "$PORT"
    [[ $target =~ ^[A-Za-z0-9.:_-]+:[0-9]+$|^\[[0-9A-Fa-f:]+\]:[0-9]+$ ]] || die "not host:port: $target"
    mkdir -p "$DIR"
    echo "$PORT" >"$DIR/port"
    cat >"$DIR/prometheus.yml" <<YML
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
scrape_configs:
  - job_name: sealpost
    static_configs:
      - targets: ['$target']
YML
    launch --config.file=prometheus.yml --storage.tsdb.path=data \
        --web.listen-address="127.0.0.1:$PORT" --log.level=warn \
        --scrape.discovery-reload-interval=100ms # hidden; up to 5 s less until the first scrape
    wait_for "$START_SECONDS" ready || fail "Prometheus is not ready"
}

# The time of "up" is the scrape's begin, of which Prometheus may round 2 ms away.
scraped_after() {
    local at
    at=$(get '/api/v1/query?query=timestamp(up)%20and%20up==1' 2>/dev/null |
        sed -nE 's/.*"value":\[[^,]*,"([0-9.]+)"\].*/\1/p')
    [ -n "$at" ] && awk -v at="$at" -v from="$1" 'BEGIN { exit !(at > from + 0.002) }'
}

cmd_scraped() {
    [ $# -le 1 ] || usage
    local limit=${1:-30} from=$EPOCHREALTIME
    case $limit in '' | *[!0-9]*) die "not a number of seconds: $limit" ;; esac
    [ -n "$(server_pid)" ] || die "no server is running in $DIR"
    PORT=$(cat "$DIR/port")
    wait_for "$limit" scraped_after "$from" || die "no successful scrape within $limit s"
}

case ${1:-} in
    install)
        [ $# -eq 1 ] || usage
        unpack prometheus usr/bin/prometheus usr/bin/promtool
        exit 0
        ;;
    promtool)
        [ -x "$PREFIX/usr/bin/promtool" ] || die "no promtool in $PREFIX; run $SELF install"
        shift
        exec "$PREFIX/usr/bin/promtool" "$@"
        ;;
    start | scraped | stop) [ $# -ge 2 ] || usage ;;
    *) usage ;;
esac
command=$1
DIR=$(realpath -m "$2")
shift 2
case $command in
    start) cmd_start "$@" ;;
    scraped) cmd_scraped "$@" ;;
    stop) [ $# -eq 0 ] || usage; stop_server ;;
esac

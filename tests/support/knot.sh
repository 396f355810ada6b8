#!/bin/bash
# A real authoritative DNS server for tests: Knot from Debian's package, run
# from the copy that "install" unpacked; nothing of it is installed in the system.
#
#   knot.sh install                    unpack it (nothing is done when all is there)
#   knot.sh start DIR PORT             answer on 127.0.0.1:PORT, UDP and TCP
#   knot.sh reload DIR                 take over what has changed in DIR/zones
#   knot.sh keys DIR NAME              zone NAME's DS and DNSKEY records; makes its keys first
#   knot.sh zone DIR NAME              what zone NAME is served as, with its signatures
#   knot.sh queries DIR                one line "ZONE TYPE COUNT" for each that was asked
#   knot.sh queries DIR ZONE [TYPE]    only the number; ZONE may be all, or - (outside)
#   knot.sh stop DIR                   end it
#
# Zones are files written by the caller, before start or before reload:
#   DIR/zones/NAME.zone    zone NAME in the usual form; the origin is NAME
#   DIR/zones/NAME.broken  (any content) zone NAME answers SERVFAIL, also when there
#                          is a NAME.zone: create the file to break it, remove it to heal
#   DIR/zones/NAME.signed  zone NAME is signed with its keys while it is served, denying
#                          by NSEC, or by NSEC3 if the file says nsec3
# The root zone is called root. A name belongs to the longest zone that fits, and is REFUSED if none does.
# Serials are free: reload takes each file as it is, with the same or a lower one
# too. A faulty zone file is an error of start (nothing runs then), or of reload
# (the zone's old records are kept).
# Counted are answered queries since start, over UDP and TCP. To count one name
# alone, give it a zone of its own.
# Runs as the caller; DIR must be the caller's, for Knot gives up root's powers.
set -euo pipefail

# shellcheck source=tests/support/unpacked.sh
. "$(dirname "$(realpath "$0")")/unpacked.sh"
PREFIX=$CACHE/knot
SERVER=$PREFIX/usr/sbin/knotd
START_SECONDS=15

# By way of /proc/self/cwd, as in knot.conf: a socket's path has at most 107
# characters, the path of a test's DIR may have more.
knotc() {
    (cd "$DIR" && LD_LIBRARY_PATH=$(library_path "$PREFIX") \
        "$PREFIX/usr/sbin/knotc" -x -s /proc/self/cwd/knot.sock -t 20 "$@")
}

# The name of a zone as Knot has it.
domain() { if [ "$1" = root ]; then echo .; else echo "$1"; fi; }

keymgr() {
    (cd "$DIR" && LD_LIBRARY_PATH=$(library_path "$PREFIX") "$PREFIX/usr/sbin/keymgr" -x -D keys "$@")
}

# Sets good and broken to the names of the zones, and writes knot.conf.
configure() {
    local f name
    good=() broken=()
    for f in "$DIR"/zones/*.broken; do
        [ -e "$f" ] || continue
        name=${f##*/}; broken+=("${name%.broken}")
    done
    for f in "$DIR"/zones/*.zone; do
        [ -e "$f" ] || continue
        name=${f##*/}; name=${name%.zone}
        [ -e "$DIR/zones/$name.broken" ] || good+=("$name")
    done
    {
        cat <<CONF
server:
    rundir: /proc/self/cwd
    listen: 127.0.0.1@$PORT
    udp-workers: 2
    tcp-workers: 2
    background-workers: 2
log:
  - target: knot.log
    any: info
# Small, instead of Knot's sparse files of GiB.
database:
    storage: db
    journal-db-max-size: 1M
    kasp-db: ../keys
    kasp-db-max-size: 5M
    timer-db-max-size: 1M
mod-stats:
  - id: types
    query-type: on
policy:
  - id: nsec
    manual: on
  - id: nsec3
    manual: on
    nsec3: on
# The caller's files alone count: none is written, no journal of older contents kept.
template:
  - id: default
    storage: zones
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    global-module: mod-stats/types
    module: mod-stats/types
zone:
CONF
        for name in ${good[@]+"${good[@]}"}; do
            printf '  - domain: "%s"\n    file: "%s.zone"\n' "$(domain "$name")" "$name"
            [ -e "$DIR/zones/$name.signed" ] || continue
            printf '    dnssec-signing: on\n    dnssec-policy: "%s"\n' "$(grep -o nsec3 "$DIR/zones/$name.signed" || echo nsec)"
        done
        # SERVFAIL is Knot's answer for a zone it could not load.
        for name in ${broken[@]+"${broken[@]}"}; do printf '  - domain: "%s"\n    file: "/nonexistent/%s"\n' "$name" "$name"; done
    } >"$DIR/knot.conf.new"
}

# Loads all good zones again, whether their files look changed or not; "-b" waits for it.
# If one is faulty, says why and fails.
load_zones() {
    local lines name domains=()
    [ ${#good[@]} -gt 0 ] || return 0
    for name in "${good[@]}"; do domains+=("$(domain "$name")"); done
    lines=$(wc -l <"$DIR/knot.log")
    if knotc -b zone-reload "${domains[@]}" >/dev/null 2>&1; then return 0; fi
    tail -n "+$((lines + 1))" "$DIR/knot.log" | grep ' error: .*zone file\|error in zone' >&2 || :
    return 1
}

answers() { knotc status; }

cmd_start() {
    [ $# -eq 1 ] || usage
    PORT=$1
    check_port "$PORT"
    [ -d "$DIR/zones" ] || die "no folder $DIR/zones"
    [ -z "$(server_pid)" ] || die "a server is already running in $DIR"
    # What an earlier run left: its database of expired zones, its pid if it was killed.
    rm -rf "$DIR"/{db,knot.log,knot.pid,knot.sock,queries.before}
    mkdir "$DIR/db"
    echo "$PORT" >"$DIR/port"
    configure
    mv "$DIR/knot.conf.new" "$DIR/knot.conf"
    launch -c knot.conf -m 16
    # It opens the control socket last, after the ports and the first load of the zones.
    wait_for "$START_SECONDS" answers || fail "Knot did not start" "$DIR/knot.log"
    if ! load_zones; then stop_server; die "a zone file is faulty"; fi
}

cmd_reload() {
    [ $# -eq 0 ] || usage
    local name
    [ -n "$(server_pid)" ] || die "no server is running in $DIR"
    PORT=$(cat "$DIR/port")
    configure
    if cmp -s "$DIR/knot.conf.new" "$DIR/knot.conf"; then
        rm "$DIR/knot.conf.new"
    else
        # A change of the list of zones sets Knot's counters to zero.
        counters >>"$DIR/queries.before"
        mv "$DIR/knot.conf.new" "$DIR/knot.conf"
        knotc -b reload >/dev/null || die "Knot refused the list of zones; see $DIR/knot.log"
    fi
    # A zone that cannot be loaded keeps its old records, unless they are expired.
    for name in ${broken[@]+"${broken[@]}"}; do
        knotc -b -f zone-purge "$name" +expire >/dev/null || die "cannot break $name"
    done
    load_zones || die "a zone file is faulty; its old records are kept"
}

# Lines "ZONE TYPE COUNT", with "all" for the sum that includes the queries outside.
counters() {
    { knotc stats mod-stats.query-type; knotc zone-stats -- mod-stats.query-type; } |
        sed -nE 's/^(\[(.*)\] )?mod-stats\.query-type\[(.*)\] = ([0-9]+)$/\2 \3 \4/p' |
        sed -E 's/^ /all /; s/^\. /root /; s/\. / /'
}

cmd_keys() {
    [ $# -eq 1 ] || usage
    local name
    name=$(domain "$1")
    mkdir -p "$DIR/keys"
    if ! keymgr "$name" ds 2>/dev/null | grep -q DS; then
        keymgr "$name" generate algorithm=ECDSAP256SHA256 ksk=yes zsk=yes >/dev/null || die "cannot make keys of $1"
    fi
    { keymgr "$name" ds; keymgr "$name" dnskey; } | sed -E 's/^([^ ]+) /\1 IN /'
}

cmd_zone() {
    [ $# -eq 1 ] || usage
    [ -n "$(server_pid)" ] || die "no server is running in $DIR"
    knotc zone-read "$(domain "$1")" | sed -E 's/^\[[^]]*\] //'
}

cmd_queries() {
    [ $# -le 2 ] || usage
    [ -n "$(server_pid)" ] || die "no server is running in $DIR"
    { cat "$DIR/queries.before" 2>/dev/null || :; counters; } |
        awk -v one=$# -v zone="${1:-}" -v type="${2:-}" '
            { n[$1 " " $2] += $3; outside[$2] += ($1 == "all" ? $3 : -$3) }
            END {
                for (t in outside) if (outside[t] > 0) n["- " t] = outside[t]
                for (k in n) {
                    split(k, p, " ")
                    if (!one) { if (p[1] != "all") print k, n[k] | "sort" }
                    else if (p[1] == zone && (type == "" || p[2] == type)) sum += n[k]
                }
                if (one) print sum + 0
            }'
}

case ${1:-} in
    install)
        [ $# -eq 1 ] || usage
        unpack knot usr/sbin/knotd usr/sbin/knotc usr/sbin/keymgr
        exit 0
        ;;
    start | reload | keys | zone | queries | stop) [ $# -ge 2 ] || usage ;;
    *) usage ;;
esac
command=$1
DIR=$(realpath -m "$2")
shift 2
case $command in
    start) cmd_start "$@" ;;
    reload) cmd_reload "$@" ;;
    keys) cmd_keys "$@" ;;
    zone) cmd_zone "$@" ;;
    queries) cmd_queries "$@" ;;
    stop) [ $# -eq 0 ] || usage; stop_server ;;
esac

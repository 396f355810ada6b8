#!/bin/bash
# Exim with its own DKIM, out of Debian's package, unpacked and not installed: the light one, which forks more cheaply.
#
# Messages are queued from batched SMTP, which is not counted; Exim signs when it sends, and queue runners do that.
set -eu
. "$(dirname "$(realpath "$0")")/../common.sh"

PREFIX=$CACHE/peer-exim
WRAPPER=$CACHE/peer-nss-wrapper
EXIM=$PREFIX/usr/sbin/exim4

cmd_install() {
    fetch peer-exim exim4-daemon-light usr/sbin/exim4
    fetch peer-nss-wrapper libnss-wrapper
    echo "Exim $(cat "$PREFIX/.sealpost-unpacked")"
}

# Debian's Exim insists on an account Debian-exim: none is made, nss_wrapper shows it one, and the sink's name.
exim() {
    env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$(libraries "$PREFIX"):$(libraries "$WRAPPER")" LD_PRELOAD=libnss_wrapper.so \
        NSS_WRAPPER_PASSWD="$PEER_DIR/passwd" NSS_WRAPPER_GROUP="$PEER_DIR/group" NSS_WRAPPER_HOSTS="$PEER_DIR/hosts" \
        "$EXIM" -C "$PEER_DIR/exim.conf" "$@"
}

cmd_prepare() {
    local uid gid
    uid=$(id -u)
    gid=$(id -g)
    if [ "$uid" -eq 0 ]; then # Exim refuses to be root only
        uid=$(id -u nobody)
        gid=$(id -g nobody)
    fi
    mkdir -p "$PEER_DIR"/{spool,log}
    printf '%s\n' root:x:0:0::/:/bin/false "Debian-exim:x:$uid:$gid::/:/bin/false" >"$PEER_DIR/passwd"
    printf '%s\n' root:x:0: "Debian-exim:x:$gid:" >"$PEER_DIR/group"
    printf '127.0.0.1 %s\n' "$PEER_SINK_HOST" >"$PEER_DIR/hosts"
    cp "$PEER_CA" "$PEER_DIR/ca.pem"
    cp "$PEER_KEY" "$PEER_DIR/dkim.key"
    sed -e "s|@DIR@|$PEER_DIR|g" -e "s|@EXIM@|$EXIM|g" -e "s|@DOMAIN@|$PEER_DOMAIN|g" -e "s|@SELECTOR@|$PEER_SELECTOR|g" \
        -e "s|@CA@|$PEER_DIR/ca.pem|g" -e "s|@SINK_HOST@|$PEER_SINK_HOST|g" -e "s|@SINK_PORT@|$PEER_SINK_PORT|g" \
        -e "s|@CONNECTIONS@|$PEER_CONNECTIONS|g" "$(dirname "$(realpath "$0")")/exim.conf" >"$PEER_DIR/exim.conf"
    chmod 755 "$PEER_DIR"
    chmod 600 "$PEER_DIR/dkim.key"
    [ "$(id -u)" -eq "$uid" ] || chown -R "$uid:$gid" "$PEER_DIR"/{spool,log,dkim.key}
    batch | exim -odq -bS >"$PEER_DIR/batch.log" 2>&1 || die "batched SMTP: $(tail -n 1 "$PEER_DIR/batch.log")"
    [ "$(find "$PEER_DIR/spool/input" -name '*-H' | wc -l)" -eq "$PEER_COUNT" ] || die "Exim did not queue every message"
}

# The messages as batched SMTP: leading dots doubled.
batch() {
    local number sender recipient
    while IFS=$'\t' read -r number sender recipient; do
        printf 'MAIL FROM:<%s>\nRCPT TO:<%s>\nDATA\n' "$sender" "$recipient"
        sed 's/\r$//; s/^\./../' "$PEER_MESSAGES/$number.eml"
        echo .
    done <"$PEER_MESSAGES/list"
}

cmd_run() {
    local i
    ready
    # As many queue runners as others have connections. Two-stage runs (-qq, or -odqs when queueing), which send several messages
    # over one connection, cost no less here: for each, Exim is executed anew and a process more keeps the TLS connection.
    for i in $(seq 1 "$PEER_CONNECTIONS"); do
        exim -q </dev/null >"$PEER_DIR/log/run.$i" 2>&1 &
    done
    wait
    # A message that another runner had locked.
    exim -q </dev/null
}

command=${1:-}
case $command in
    install) cmd_install ;;
    prepare) cmd_prepare ;;
    run) cmd_run ;;
    *) die "install, prepare or run" ;;
esac

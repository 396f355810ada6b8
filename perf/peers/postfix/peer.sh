#!/bin/bash
# Postfix with OpenDKIM as its milter, out of Debian's packages, unpacked and not installed.
#
# Postfix signs when it takes a message, by its milter, and not when it sends it. So messages wait in maildrop, put there by
# Postfix's own sendmail, which is not counted; pickup, cleanup, the milter, the queue manager and the SMTP clients are.
set -eu
. "$(dirname "$(realpath "$0")")/../common.sh"

POSTFIX=$CACHE/postfix
LIBS=$POSTFIX/usr/lib/postfix
OPENDKIM=$CACHE/peer-opendkim
MILTER=$OPENDKIM/usr/sbin/opendkim

cmd_install() {
    [ "$(id -u)" -eq 0 ] || die "Postfix's master runs as root only"
    "$ROOT/tests/support/install.sh" >&2
    fetch peer-opendkim opendkim usr/sbin/opendkim
    echo "Postfix $(cat "$POSTFIX/.sealpost-unpacked") + OpenDKIM $(cat "$OPENDKIM/.sealpost-unpacked")"
}

postfix_env() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH="$LIBS" MAIL_CONFIG="$PEER_DIR/config" "$@"
}

folders() {
    local d
    mkdir -p "$PEER_DIR"/{config,data,queue}
    chmod 755 "$PEER_DIR" "$PEER_DIR/config" "$PEER_DIR/queue"
    for d in active bounce corrupt defer deferred flush hold incoming private saved trace; do
        mkdir -p "$PEER_DIR/queue/$d"
        chown mail:root "$PEER_DIR/queue/$d"
        chmod 700 "$PEER_DIR/queue/$d"
    done
    mkdir -p "$PEER_DIR/queue"/{pid,public,maildrop}
    chown mail:list "$PEER_DIR/queue/public" "$PEER_DIR/queue/maildrop"
    chmod 710 "$PEER_DIR/queue/public"
    chmod 1730 "$PEER_DIR/queue/maildrop"
    chown mail:root "$PEER_DIR/data"
    chmod 700 "$PEER_DIR/data"
}

configure() {
    local here
    here=$(dirname "$(realpath "$0")")
    # Where it is, and what the run is told; how it is tuned stands in main.cf.
    sed -e "s|@DIR@|$PEER_DIR|g" -e "s|@LIBS@|$LIBS|g" -e "s|@PREFIX@|$POSTFIX|g" \
        -e "s|@SINK_HOST@|$PEER_SINK_HOST|g" -e "s|@SINK_PORT@|$PEER_SINK_PORT|g" -e "s|@CA@|$PEER_DIR/config/ca.pem|g" \
        -e "s|@DOMAIN@|$PEER_DOMAIN|g" -e "s|@CONNECTIONS@|$PEER_CONNECTIONS|g" \
        "$here/main.cf" >"$PEER_DIR/config/main.cf"
    cp "$here/master.cf" "$PEER_DIR/config/master.cf"
    cp "$PEER_CA" "$PEER_DIR/config/ca.pem"
    sed -e "s|@DIR@|$PEER_DIR|g" -e "s|@DOMAIN@|$PEER_DOMAIN|g" -e "s|@SELECTOR@|$PEER_SELECTOR|g" \
        "$here/opendkim.conf" >"$PEER_DIR/config/opendkim.conf"
    install -m 600 "$PEER_KEY" "$PEER_DIR/config/dkim.key"
    chmod 644 "$PEER_DIR"/config/{main.cf,master.cf,ca.pem,opendkim.conf}
}

cmd_prepare() {
    folders
    configure
    export MAIL_CONFIG=$PEER_DIR/config LD_LIBRARY_PATH=$LIBS
    # Many at once, since sendmail waits for the disk; it also says that there is no pickup yet.
    xargs -P 32 -n 150 bash "$(realpath "$0")" inject <"$PEER_MESSAGES/list" 2>"$PEER_DIR/inject.log" ||
        die "sendmail: $(tail -n 1 "$PEER_DIR/inject.log")"
    [ "$(find "$PEER_DIR/queue/maildrop" -type f | wc -l)" -eq "$PEER_COUNT" ] || die "sendmail did not take every message"
}

cmd_inject() { # NUMBER SENDER RECIPIENT...
    while [ $# -ge 3 ]; do
        "$POSTFIX/usr/sbin/sendmail" -i -f "$2" "$3" <"$PEER_MESSAGES/$1.eml"
        shift 3
    done
}

cmd_run() {
    cd "$PEER_DIR/queue"
    env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$(libraries "$OPENDKIM")" \
        "$MILTER" -f -x "$PEER_DIR/config/opendkim.conf" </dev/null >"$PEER_DIR/opendkim.log" 2>&1 &
    wait_until 10 test -S "$PEER_DIR/queue/public/opendkim"
    chmod 666 "$PEER_DIR/queue/public/opendkim"
    ready
    # pickup finds the messages as it starts.
    postfix_env "$LIBS/sbin/master" -d -c "$PEER_DIR/config" </dev/null >"$PEER_DIR/start.log" 2>&1
}

command=${1:-}
shift || :
case $command in
    install) cmd_install ;;
    prepare) cmd_prepare ;;
    inject) cmd_inject "$@" ;;
    run) cmd_run ;;
    *) die "install, prepare or run" ;;
esac

#!/bin/bash
# Haraka from npm, with its own dkim plugin. It signs when it queues, so queueing is counted; nothing comes in by SMTP: a plugin
# hands the messages in.
set -eu
. "$(dirname "$(realpath "$0")")/../common.sh"

HERE=$(dirname "$(realpath "$0")")
PREFIX=$CACHE/peer-haraka

cmd_install() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || die "there is no node, or no npm"
    if ! cmp -s "$HERE/package-lock.json" "$PREFIX/package-lock.json" || ! [ -f "$PREFIX/.sealpost-installed" ]; then
        rm -rf "$PREFIX"
        mkdir -p "$PREFIX"
        cp "$HERE"/package.json "$HERE"/package-lock.json "$PREFIX"
        (cd "$PREFIX" && npm ci --no-audit --no-fund --omit=dev --omit=optional --ignore-scripts >&2) || die "npm ci failed"
        touch "$PREFIX/.sealpost-installed"
    fi
    node -p "const v = (name) => require('$PREFIX/node_modules/' + name + '/package.json').version
        'Haraka ' + v('Haraka') + ' + dkim ' + v('haraka-plugin-dkim') + ', Node ' + process.versions.node"
}

cmd_prepare() {
    local file port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    mkdir -p "$PEER_DIR"/{config/dkim/"$PEER_DOMAIN",plugins,queue}
    for file in "$HERE"/config/*; do
        sed -e "s|@CONNECTIONS@|$PEER_CONNECTIONS|g" -e "s|@SELECTOR@|$PEER_SELECTOR|g" -e "s|@DOMAIN@|$PEER_DOMAIN|g" \
            -e "s|@PORT@|$port|g" "$file" >"$PEER_DIR/config/${file##*/}"
    done
    echo "out.$PEER_DOMAIN" >"$PEER_DIR/config/me"
    cp "$HERE/plugins/inject.js" "$PEER_DIR/plugins/"
    cp "$PEER_KEY" "$PEER_DIR/config/dkim/$PEER_DOMAIN/private"
    echo "$PEER_SELECTOR" >"$PEER_DIR/config/dkim/$PEER_DOMAIN/selector"
    ln -s "$PREFIX/node_modules" "$PEER_DIR/node_modules"
}

cmd_run() {
    # The sink's CA: Haraka has no setting for it, Node has.
    NODE_EXTRA_CA_CERTS=$PEER_CA NODE_PATH=$PREFIX/node_modules NODE_ENV=production \
        node "$PREFIX/node_modules/Haraka/bin/haraka" -c "$PEER_DIR" </dev/null >"$PEER_DIR/haraka.log" 2>&1 &
    wait_until 20 test -f "$PEER_DIR/up"
    ready
    touch "$PEER_DIR/go"
    wait
}

case ${1:-} in
    install) cmd_install ;;
    prepare) cmd_prepare ;;
    run) cmd_run ;;
    *) die "install, prepare or run" ;;
esac

#!/bin/bash
# A real Exim as a second receiving SMTP server beside Postfix, and as a smarthost
# with logins; nothing of it is installed in the system.
#
#   exim.sh install                    unpack Debian's Exim, and the OpenDKIM library for
#                                      second_verifier.py, into the cache; idempotent
#   exim.sh start DIR PORT CERT KEY [OPTION...]
#                                      listen on 127.0.0.1:PORT, STARTTLS with the
#                                      PEM files CERT and KEY; returns once it greets
#     --auth USER:PASSWORD             take mail only after this login (530 without),
#                                      and offer AUTH only under TLS (503 without)
#     --mechanisms NAME[,NAME...]      offer only these of PLAIN, LOGIN, SCRAM-SHA-256
#     --tls-on-connect                 TLS at once, no STARTTLS, as on port 465
#     --client-ca FILE                 refuse the TLS of clients without a certificate
#                                      from a CA of this PEM file
#     --sender-domain DOMAIN           553 for every MAIL FROM that is not @DOMAIN,
#                                      the empty one included
#   exim.sh drain DIR [SECONDS]        wait until all accepted mail is delivered (60)
#   exim.sh stop DIR                   end all its processes
#
# Mail is taken only under TLS (530 before), for any recipient at any domain
# under .example (554 for others), and delivered to DIR/maildir/new. It never
# sends mail anywhere, bounces and DSNs included, and asks no DNS. All state is
# in DIR; the log is DIR/log/mainlog, where a message's line says how its sender
# logged in (A=plain:USER, A=login:USER, A=scram:USER). The settings are in exim.conf.
#
# PLAIN and LOGIN are Exim's own; SCRAM-SHA-256 is Cyrus SASL's, out of a sasldb.
#
# It runs as the caller, or as nobody if that is root. Debian's Exim insists on
# an account Debian-exim: none is created, nss_wrapper shows it one.
set -eu
export LC_ALL=C # messages that grep knows

CACHE=${SEALPOST_CACHE:-${HOME:?exim.sh: neither SEALPOST_CACHE nor HOME is set}/.cache/sealpost}
PREFIX=$(realpath -m "$CACHE/exim")
EXIM=$PREFIX/usr/sbin/exim4
OPENDKIM=$(realpath -m "$CACHE/opendkim")
PACKAGES=(exim4-daemon-heavy libnss-wrapper sasl2-bin libsasl2-2 libsasl2-modules libsasl2-modules-db)
REALM=mx.exim.example # as in exim.conf
CONF=$(dirname "$(realpath "$0")")/exim.conf
START_SECONDS=15

die() { printf 'exim.sh: error: %s\n' "$*" >&2; exit 1; }
say() { printf 'exim.sh: %s\n' "$*" >&2; }
usage() { sed -n '/^#   exim.sh install/,/^#$/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# --- install ---

# Where a package's libraries are: Debian has them in folders named for the machine, libspf2 has not.
lib_path() { printf '%s:' "$1"/usr/lib/*-linux-gnu "$1"/lib/*-linux-gnu "$1"/usr/lib; }
sasl_path() { printf '%s:' "$1"/usr/lib/*-linux-gnu/sasl2; }
missing_libs() {
    LD_LIBRARY_PATH=$(lib_path "$1") ldd "$1"/usr/sbin/{exim4,saslpasswd2} \
        "$1"/usr/lib/*-linux-gnu/{libopendkim,libnss_wrapper,sasl2/libscram,sasl2/libsasldb}.so* \
        2>/dev/null | grep 'not found' | sort -u || :
}
# ready PREFIX PACKAGE...: all these were unpacked, and lack nothing.
ready() {
    local prefix=$1 package
    shift
    for package; do
        grep -qs "^${package}_" "$prefix/.sealpost-unpacked" || return 1
    done
    [ -z "$(missing_libs "$prefix")" ]
}

updated=
apt_update() {
    [ -z "$updated" ] || return 0
    say "apt-get update"
    if [ "$(id -u)" -eq 0 ]; then apt-get update -qq >&2; else sudo -n apt-get update -qq >&2; fi ||
        die "apt-get update failed"
    updated=1
}
download() {
    apt-get download -qq -o APT::Sandbox::User=root "$@" >&2 && return 0
    apt_update
    apt-get download -qq -o APT::Sandbox::User=root "$@" >&2 || die "apt-get download $* failed"
}
# The libraries that the named packages need, directly or not, and the system lacks.
lacking() {
    local lib relations=(--no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances)
    # shellcheck disable=SC2046
    set -- $(apt-cache depends "${relations[@]}" "$@" | sed -n 's/^ *Depends: \(lib.*\)/\1/p' | sort -u)
    apt-cache depends --recurse "${relations[@]}" "$@" | grep '^lib' | sort -u | while read -r lib; do
        case $(dpkg-query -W -f '${db:Status-Abbrev}\n' "$lib" 2>/dev/null) in
            ii*) ;;
            *) echo "$lib" ;;
        esac
    done
}
# unpack PREFIX PACKAGE...: the packages and the libraries that the system lacks.
unpack() {
    local prefix=$1 deb more tmp
    shift
    if ready "$prefix" "$@"; then return 0; fi
    say "unpacking Debian's $* to $prefix"
    tmp=$(mktemp -d "$CACHE/.${prefix##*/}.XXXXXX") || die "cannot write to $CACHE"
    # shellcheck disable=SC2064
    trap "rm -rf '$tmp'" EXIT
    cd "$tmp"
    download "$@"
    more=$(lacking "$@")
    # shellcheck disable=SC2086
    [ -z "$more" ] || download $more
    for deb in *.deb; do
        dpkg -x "$deb" root || die "dpkg -x $deb failed"
    done
    # Exim comes set-user-ID root: not wanted in a cache.
    find root -perm /6000 -type f -exec chmod ug-s {} +
    [ -z "$(missing_libs root)" ] || die "$* still lack shared libraries: $(missing_libs root)"
    printf '%s\n' *.deb >root/.sealpost-unpacked
    chmod 755 root
    rm -rf "$prefix"
    mv root "$prefix"
    cd "$CACHE"
    rm -rf "$tmp"
}

cmd_install() {
    mkdir -p "$CACHE" || die "cannot create $CACHE"
    if ready "$PREFIX" "${PACKAGES[@]}" && ready "$OPENDKIM" libopendkim11; then return 0; fi
    # Not install.sh's lock: that may well be held by our caller.
    exec 8>"$CACHE/.exim-install.lock"
    flock 8 || die "cannot lock $CACHE/.exim-install.lock"
    unpack "$PREFIX" "${PACKAGES[@]}"
    unpack "$OPENDKIM" libopendkim11
    say "ready: $(grep -h '^exim4-\|^libopendkim' "$PREFIX/.sealpost-unpacked" "$OPENDKIM/.sealpost-unpacked" | tr '\n' ' ')"
}

# --- start, drain, stop ---

# The processes of the instance in $DIR: those of our Exim whose fd 9 is $DIR.
instance_pids() {
    local link pid
    find /proc/[0-9]*/fd/9 -maxdepth 0 -printf '%p\t%l\n' 2>/dev/null |
        awk -F '\t' -v d="$DIR" '$2 == d || $2 == d " (deleted)" { print $1 }' |
        while read -r link; do
            pid=${link#/proc/}; pid=${pid%/fd/9}
            case $(readlink "/proc/$pid/exe" 2>/dev/null || :) in
                "$EXIM"*) echo "$pid" ;;
            esac
        done
}

# The server's first line, and its answer to STARTTLS; fails if nobody listens.
greeting() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        IFS= read -r -t 5 line <&3 || exit 1
        printf '%s' "${line%$'\r'}"
        printf 'EHLO localhost\r\n' >&3
        while IFS= read -r -t 5 line <&3; do
            case $line in 250-*) ;; *) break ;; esac
        done
        printf 'STARTTLS\r\n' >&3
        IFS= read -r -t 5 line <&3 || :
        printf ' STARTTLS:%s' "${line%$'\r'}"
    ) 2>/dev/null
}

stop_instance() {
    local pids i name=TERM
    for i in $(seq 1 100); do
        pids=$(instance_pids)
        [ -n "$pids" ] || return 0
        [ "$i" -lt 50 ] || name=KILL
        # Each of them, again and again: the daemon leaves its children alone.
        # shellcheck disable=SC2086
        kill -$name $pids 2>/dev/null || :
        sleep 0.1
    done
    die "processes of $DIR would not end:" $pids
}

fail_start() {
    {
        printf 'exim.sh: error: %s; the end of its output and logs (%s):\n' "$1" "$DIR/log"
        tail -n 10 "$DIR/start.log" "$DIR/log"/* 2>/dev/null
    } >&2
    stop_instance
    exit 1
}

# What greeting() prints, of a server that speaks TLS at once.
tls_greeting() {
    python3 - "$1" <<'PY'
import socket, ssl, sys

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
try:
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
except OSError:
    sys.exit(1)
try:
    connection = context.wrap_socket(connection)
except OSError as e:
    print("220 mx.exim.example ? STARTTLS:", e)
    sys.exit(0)
try:
    line = connection.makefile("rb").readline().decode().rstrip()
except OSError as e:  # TLS 1.3: our own certificate is asked for after the server's is shown
    line = f"220 mx.exim.example ({e.reason})" if "CERTIFICATE_REQUIRED" in str(e) else str(e)
print(line, "STARTTLS:220 not needed")
PY
}

# Exim's cyrus_sasl driver reads the login from here. saslpasswd2 wants the password
# as its input, ended by nothing.
write_sasldb() {
    local conf=$DIR/config/sasl
    mkdir -p "$conf"
    rm -rf "$conf/sasldb2" "$conf/plugins"
    # Exim opens them as nobody, to whom the cache may be closed.
    mkdir "$conf/plugins"
    cp -L "$PREFIX"/usr/lib/*-linux-gnu/sasl2/lib{scram,sasldb}.so "$conf/plugins"
    printf '%s\n' 'pwcheck_method: auxprop' 'auxprop_plugin: sasldb' 'sasldb_path: /proc/self/fd/9/config/sasl/sasldb2' \
        >"$conf/exim.conf"
    printf %s "$2" | (
        exec 9<"$DIR"
        exec env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$(lib_path "$PREFIX")" \
            SASL_PATH="$(sasl_path "$PREFIX")" SASL_CONF_PATH="$conf" \
            "$PREFIX/usr/sbin/saslpasswd2" -p -c -a exim -u "$REALM" -f "$conf/sasldb2" -- "$1"
    ) >"$DIR/start.log" 2>&1 || fail_start "saslpasswd2 does not take this login"
}

# The rest of `start`'s command line, into macros for exim.conf.
read_options() {
    local name user=
    auth='' mechanisms='' implicit='' client_ca='' sender_domain=''
    while [ $# -gt 0 ]; do
        name=$1
        shift
        case $name in
            --tls-on-connect) implicit=1; continue ;;
            --auth | --mechanisms | --client-ca | --sender-domain) ;;
            *) die "no such option: $name" ;;
        esac
        [ $# -ge 1 ] || die "$name needs a value"
        case $name in
            --auth) auth=$1 ;;
            --mechanisms) mechanisms=$1 ;;
            --client-ca) client_ca=$1 ;;
            --sender-domain) sender_domain=$1 ;;
        esac
        [ -n "$1" ] || die "$name needs a value"
        shift
    done
    user=${auth%%:*}
    case $auth in
        '') [ -z "$mechanisms" ] || die "--mechanisms is of no use without --auth" ;;
        *[[:cntrl:]]*) die "control characters in --auth" ;;
        *:?*) [ -n "$user" ] || die "--auth without a user" ;;
        *) die "--auth wants USER:PASSWORD" ;;
    esac
    # Exim would start with an empty file, too, and refuse everyone.
    [ -z "$client_ca" ] || grep -qs 'BEGIN CERTIFICATE' "$client_ca" || die "no CA certificate in $client_ca"
    case $sender_domain in *[!A-Za-z0-9.-]*) die "not a domain: $sender_domain" ;; esac
    for name in ${mechanisms//,/ }; do
        case $name in PLAIN | LOGIN | SCRAM-SHA-256) ;; *) die "no such mechanism: $name" ;; esac
    done
    [ -n "$mechanisms" ] || mechanisms=PLAIN,LOGIN,SCRAM-SHA-256
}
write_options() {
    if [ -n "$auth" ]; then
        echo 'MUST_LOGIN ='
        case ,$mechanisms, in *,PLAIN,*) echo 'OFFER_PLAIN =' ;; esac
        case ,$mechanisms, in *,LOGIN,*) echo 'OFFER_LOGIN =' ;; esac
        case ,$mechanisms, in *,SCRAM-SHA-256,*) echo 'OFFER_SCRAM =' ;; esac
    fi
    [ -z "$implicit" ] || echo "IMPLICIT_PORT = $1"
    [ -z "$client_ca" ] || echo 'CLIENT_CA ='
    [ -z "$sender_domain" ] || echo "SENDER_DOMAIN = $sender_domain"
}

cmd_start() {
    [ $# -ge 3 ] || usage
    local port=$1 cert=$2 key=$3 uid gid line i greeting=greeting
    local auth mechanisms implicit client_ca sender_domain
    shift 3
    read_options "$@"
    if [ -n "$implicit" ]; then
        greeting=tls_greeting
        command -v python3 >/dev/null 2>&1 || die "--tls-on-connect needs python3 to see whether the server is up"
    fi
    case $port in '' | *[!0-9]*) die "not a port number: $port" ;; esac
    [ "$port" -ge 1 ] && [ "$port" -le 65535 ] || die "not a port number: $port"
    [ -r "$cert" ] || die "cannot read the certificate $cert"
    [ -r "$key" ] || die "cannot read the key $key"
    grep -qs "^${PACKAGES[0]}_" "$PREFIX/.sealpost-unpacked" ||
        die "no ${PACKAGES[0]} in $PREFIX; run tests/support/exim.sh install"
    [ -z "$(instance_pids)" ] || die "an instance is already running in $DIR"
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        die "port $port is already in use"
    fi
    uid=$(id -u)
    gid=$(id -g)
    if [ "$uid" -eq 0 ]; then # Exim refuses to be root only
        uid=$(id -u nobody)
        gid=$(id -g nobody)
    fi

    mkdir -p "$DIR"/{config,log,spool} "$DIR/maildir"/{tmp,new,cur}
    chmod 755 "$DIR" "$DIR"/{config,log,maildir} "$DIR/maildir"/{tmp,new,cur}
    chmod 750 "$DIR/spool"
    # Copies: Exim's user need not be able to reach the originals.
    cp "$CONF" "$DIR/config/exim.conf"
    cp "$cert" "$DIR/config/server.pem"
    cp "$key" "$DIR/config/server.key"
    write_options "$port" >"$DIR/config/options.conf"
    [ -z "$client_ca" ] || cp "$client_ca" "$DIR/config/client-ca.pem"
    if [ -n "$auth" ]; then
        printf %s "${auth%%:*}" >"$DIR/config/user"
        printf %s "${auth#*:}" >"$DIR/config/password"
        write_sasldb "${auth%%:*}" "${auth#*:}"
        chmod 755 "$DIR"/config/sasl{,/plugins}
        find "$DIR/config/sasl" -type f -exec chmod 644 {} +
    fi
    # Exim also wants to know the name of who starts it.
    printf '%s\n' root:x:0:0::/:/bin/false "Debian-exim:x:$uid:$gid::/:/bin/false" >"$DIR/config/passwd"
    printf '%s\n' root:x:0: "Debian-exim:x:$gid:" >"$DIR/config/group"
    find "$DIR/config" -maxdepth 1 -type f -exec chmod 644 {} +
    chmod 600 "$DIR/config/server.key"
    [ "$(id -u)" -eq "$uid" ] ||
        chown "$uid:$gid" "$DIR/config/server.key" "$DIR"/{log,spool} "$DIR/maildir" "$DIR/maildir"/{tmp,new,cur}

    if ! (
        # See exim.conf.
        exec 9<"$DIR"
        exec env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$(lib_path "$PREFIX")" \
            LD_PRELOAD=libnss_wrapper.so \
            NSS_WRAPPER_PASSWD=/proc/self/fd/9/config/passwd NSS_WRAPPER_GROUP=/proc/self/fd/9/config/group \
            SASL_PATH=/proc/self/fd/9/config/sasl/plugins SASL_CONF_PATH=/proc/self/fd/9/config/sasl \
            "$EXIM" -C /proc/self/fd/9/config/exim.conf -bd -q5s -oX "127.0.0.1.$port" \
            </dev/null >"$DIR/start.log" 2>&1
    ); then
        fail_start "Exim did not start"
    fi
    for i in $(seq 1 $((START_SECONDS * 10))); do
        if line=$($greeting "$port"); then
            case $line in
                '220 mx.exim.example '*' STARTTLS:220 '*) return 0 ;;
                '220 mx.exim.example '*)
                    fail_start "no TLS with $cert and $key (${line##* STARTTLS:})"
                    ;;
                *) fail_start "unexpected greeting on port $port: $line" ;;
            esac
        fi
        [ -n "$(instance_pids)" ] || fail_start "Exim ended just after its start"
        [ "$SECONDS" -lt "$START_SECONDS" ] || break
        sleep 0.1
    done
    fail_start "no greeting on port $port within $START_SECONDS s"
}

cmd_drain() {
    local limit=${1:-60} left
    case $limit in '' | *[!0-9]*) die "not a number of seconds: $limit" ;; esac
    while left=$(find "$DIR/spool/input" -type f 2>/dev/null | sed -n 's/-[DHJ]$//p' | sort -u); [ -n "$left" ]; do
        [ "$SECONDS" -lt "$limit" ] ||
            die "$(wc -l <<<"$left") messages not delivered after $limit s; see $DIR/log/mainlog"
        sleep 0.1
    done
}

[ $# -ge 1 ] || usage
command=$1
shift
case $command in
    install) [ $# -eq 0 ] || usage; cmd_install; exit ;;
esac
[ $# -ge 1 ] || usage
DIR=$(realpath -m "$1")
shift
case $command in
    start) cmd_start "$@" ;;
    drain) cmd_drain "$@" ;;
    stop) [ $# -eq 0 ] || usage; stop_instance ;;
    *) usage ;;
esac

#!/bin/bash
# A real Postfix as the tests' receiving SMTP server, run from the copy that
# install.sh unpacked; nothing of it is installed in the system.
#
#   postfix.sh start DIR PORT CERT KEY   listen on 127.0.0.1:PORT, STARTTLS with the
#                                        PEM files CERT and KEY; returns once it greets
#   postfix.sh drain DIR [SECONDS]       wait until all accepted mail is delivered (60)
#   postfix.sh stop DIR                  end all its processes
#
# Any recipient at any domain under .example is accepted and delivered to
# DIR/maildir/new; every other recipient is refused with 554. It never sends
# mail anywhere, bounces included. All state is in DIR; the log is DIR/maillog.
#
# Accounts: all are in Debian's base system (base-passwd), none is created.
# Queue: user mail, set-gid group list, default_privs nobody. The Maildir's
# files belong to nobody, or to the caller when that is not root (then sudo is used).
set -eu

CACHE=${SEALPOST_CACHE:-${HOME:?postfix.sh: neither SEALPOST_CACHE nor HOME is set}/.cache/sealpost}
PREFIX=$(realpath -m "$CACHE/postfix")
LIBS=$PREFIX/usr/lib/postfix
MAIL_OWNER=mail
SETGID_GROUP=list
START_SECONDS=15

die() { printf 'postfix.sh: error: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '5,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# Postfix's master runs as root only.
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || die "must run as root, and there is no sudo"
    exec sudo -n SEALPOST_CACHE="$CACHE" "$(realpath "$0")" "$@"
fi

# The processes of the instance in $DIR: those that run a program of our
# Postfix with $DIR/queue as their working directory, as all its daemons have.
instance_pids() {
    local link pid
    find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*' -name cwd -printf '%p\t%l\n' 2>/dev/null |
        awk -F '\t' -v d="$DIR/queue" '$2 == d || $2 == d " (deleted)" { print $1 }' |
        while read -r link; do
            pid=${link#/proc/}; pid=${pid%/cwd}
            case $(readlink "/proc/$pid/exe" 2>/dev/null || :) in
                "$LIBS"/sbin/"${1:-}"*) echo "$pid" ;;
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
    local pids i
    pids=$(instance_pids)
    [ -n "$pids" ] || return 0
    # master ends its children when it is told to end.
    pids=$(instance_pids master)
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill -TERM $pids 2>/dev/null || :
    for i in $(seq 1 100); do
        pids=$(instance_pids)
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086
        if [ "$i" -ge 50 ]; then kill -KILL $pids 2>/dev/null || :; fi
        sleep 0.1
    done
    die "processes of $DIR would not end:" $pids
}

queued() {
    # In the order mail moves, so that no message is missed on its way.
    local q
    for q in maildrop incoming active deferred; do
        find "$DIR/queue/$q" -type f 2>/dev/null
    done
}

cmd_start() {
    [ $# -eq 3 ] || usage
    local port=$1 cert key virtual_uid virtual_gid d line i
    case $port in '' | *[!0-9]*) die "not a port number: $port" ;; esac
    [ "$port" -ge 1 ] && [ "$port" -le 65535 ] || die "not a port number: $port"
    cert=$(realpath "$2") && [ -r "$cert" ] || die "cannot read the certificate $2"
    key=$(realpath "$3") && [ -r "$key" ] || die "cannot read the key $3"
    case $DIR$cert$key in *[!A-Za-z0-9._/+@%=-]*)
        die "Postfix takes only paths of plain characters, without spaces: $DIR $cert $key" ;;
    esac
    [ -x "$LIBS/sbin/master" ] || die "no Postfix in $PREFIX; run tests/support/install.sh"
    [ -z "$(instance_pids)" ] || die "an instance is already running in $DIR"
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        die "port $port is already in use"
    fi
    virtual_uid=$(id -u nobody)
    virtual_gid=$(id -g nobody)
    if [ "${SUDO_UID:-0}" -ne 0 ]; then
        virtual_uid=$SUDO_UID
        virtual_gid=$SUDO_GID
    fi

    mkdir -p "$DIR"/{config,data,queue,maildir}
    # The daemons enter DIR/queue as root and then give up their rights, so
    # that DIR's parents may be closed (0700); DIR itself must not be.
    chmod 755 "$DIR" "$DIR/config" "$DIR/queue"
    chown root:root "$DIR/config" "$DIR/queue"
    rm -f "$DIR/queue/pid"/*
    for d in active bounce corrupt defer deferred flush hold incoming private saved trace; do
        mkdir -p "$DIR/queue/$d"
        chown "$MAIL_OWNER:root" "$DIR/queue/$d"
        chmod 700 "$DIR/queue/$d"
    done
    mkdir -p "$DIR/queue"/{pid,public,maildrop} "$DIR/maildir"/{tmp,new,cur}
    chown root:root "$DIR/queue/pid" && chmod 755 "$DIR/queue/pid"
    chown "$MAIL_OWNER:$SETGID_GROUP" "$DIR/queue/public" "$DIR/queue/maildrop"
    chmod 710 "$DIR/queue/public"
    chmod 1730 "$DIR/queue/maildrop"
    chown "$MAIL_OWNER:root" "$DIR/data" && chmod 700 "$DIR/data"
    chown "$virtual_uid:$virtual_gid" "$DIR/maildir" "$DIR/maildir"/{tmp,new,cur}
    chmod 755 "$DIR/maildir" "$DIR/maildir"/{tmp,new,cur}
    touch "$DIR/maillog"
    [ "${SUDO_UID:-0}" -eq 0 ] || chmod 644 "$DIR/maillog"

    printf '%s\n' '/\.example$/ accepted' >"$DIR/config/domains"
    cat >"$DIR/config/main.cf" <<CF
compatibility_level = 3.6
config_directory = $DIR/config
meta_directory = $DIR/config
queue_directory = /proc/self/cwd
data_directory = /proc/self/cwd/../data
daemon_directory = $LIBS/sbin
command_directory = $PREFIX/usr/sbin
shlib_directory = $LIBS
import_environment = MAIL_CONFIG LD_LIBRARY_PATH=$LIBS TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME
mail_owner = $MAIL_OWNER
setgid_group = $SETGID_GROUP
default_privs = nobody

maillog_file = $DIR/maillog
maillog_file_prefixes = $DIR

# Who we are; loopback only, no name service.
myhostname = mx.receiver.example
myorigin = \$myhostname
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_banner = \$myhostname ESMTP Sealpost test receiver

# One Maildir takes all. The path leads from the working directory
# ($DIR/queue), so that closed parents of DIR are no hindrance.
virtual_mailbox_domains = regexp:$DIR/config/domains
virtual_mailbox_base = /proc/self/cwd/..
virtual_mailbox_maps = static:maildir/
virtual_uid_maps = static:$virtual_uid
virtual_gid_maps = static:$virtual_gid
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
virtual_transport = virtual
virtual_alias_maps =
virtual_alias_domains =
alias_maps =
alias_database =
relay_domains =
local_recipient_maps =

# Nothing leaves this machine, bounces and notices included.
default_transport = error:this server sends nothing
relay_transport = error:this server sends nothing
local_transport = error:this server has no local mailboxes
notify_classes =
soft_bounce = yes
delay_warning_time = 0

# As received: no header is added to or rewritten in the message itself.
local_header_rewrite_clients =
always_add_missing_headers = no
append_dot_mydomain = no
append_at_myorigin = no
enable_long_queue_ids = yes

smtpd_recipient_restrictions = reject_non_fqdn_recipient, reject_unauth_destination, permit
smtpd_relay_restrictions = reject_unauth_destination
smtpd_discard_ehlo_keywords = dsn, etrn, silent-discard
disable_vrfy_command = yes
smtputf8_enable = yes
# Strict about the client: no bare LF, no command before its turn.
smtpd_forbid_unauth_pipelining = yes
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =

smtpd_tls_security_level = may
smtpd_tls_cert_file = $cert
smtpd_tls_key_file = $key
smtpd_tls_protocols = >=TLSv1.2
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes

# No limit that a fast client would meet.
message_size_limit = 104857600
queue_minfree = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_timeout = 300s
in_flow_delay = 0
default_process_limit = 50
initial_destination_concurrency = 20
virtual_destination_concurrency_limit = 20
virtual_initial_destination_concurrency = 20
CF
    cat >"$DIR/config/master.cf" <<CF
127.0.0.1:$port inet n - n - 200 smtpd
  -o soft_bounce=no
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
proxymap  unix  - - n -     - proxymap
error     unix  - - n -     - error
retry     unix  - - n -     - error
virtual   unix  - n n -    10 virtual
anvil     unix  - - n -     1 anvil
postlog   unix-dgram n - n - 1 postlogd
CF
    chmod 644 "$DIR/config"/*

    cd "$DIR/queue"
    if ! env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH="$LIBS" MAIL_CONFIG="$DIR/config" \
        POSTLOG_SERVICE=/proc/self/cwd/public/postlog POSTLOG_HOSTNAME=mx.receiver.example \
        setsid "$LIBS/sbin/master" -w -c "$DIR/config" </dev/null >"$DIR/start.log" 2>&1; then
        fail_start "Postfix did not start"
    fi
    for i in $(seq 1 $((START_SECONDS * 10))); do
        [ -n "$(instance_pids master)" ] || fail_start "Postfix ended just after its start"
        if line=$(greeting "$port"); then
            case $line in
                '220 mx.receiver.example '*' STARTTLS:220 '*) return 0 ;;
                '220 mx.receiver.example '*)
                    fail_start "no TLS with $cert and $key (${line##* STARTTLS:})"
                    ;;
                *) fail_start "unexpected greeting on port $port: $line" ;;
            esac
        fi
        [ "$SECONDS" -lt "$START_SECONDS" ] || break
        sleep 0.1
    done
    fail_start "no greeting on port $port within $START_SECONDS s"
}

fail_start() {
    {
        printf 'postfix.sh: error: %s; the end of its output and log (%s):\n' "$1" "$DIR/maillog"
        tail -n 10 "$DIR/start.log" "$DIR/maillog" 2>/dev/null
    } >&2
    stop_instance
    exit 1
}

cmd_drain() {
    local limit=${1:-60} left
    case $limit in '' | *[!0-9]*) die "not a number of seconds: $limit" ;; esac
    while :; do
        left=$(queued)
        if [ -z "$left" ]; then
            left=$(queued) # once more: a retried message moves back
            [ -n "$left" ] || return 0
        fi
        [ "$SECONDS" -lt "$limit" ] ||
            die "$(wc -l <<<"$left") messages not delivered after $limit s; see $DIR/maillog"
        sleep 0.1
    done
}

cmd_stop() {
    [ $# -eq 0 ] || usage
    stop_instance
    # A caller that is not root shall be able to read and remove it all.
    if [ "${SUDO_UID:-0}" -ne 0 ] && [ -f "$DIR/config/master.cf" ]; then
        chown -R "$SUDO_UID:$SUDO_GID" "$DIR"
    fi
}

[ $# -ge 2 ] || usage
command=$1
DIR=$(realpath -m "$2")
shift 2
case $command in
    start) cmd_start "$@" ;;
    drain) cmd_drain "$@" ;;
    stop) cmd_stop "$@" ;;
    *) usage ;;
esac

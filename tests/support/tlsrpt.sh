#!/bin/sh
# Installs parsedmarc, which reads TLS reports, into a Python venv of its own:
# install.sh's is made anew whenever its pins change. Does nothing when it is there.
#   tlsrpt.sh install
set -eu

CACHE=${SEALPOST_CACHE:-${HOME:?tlsrpt.sh: neither SEALPOST_CACHE nor HOME is set}/.cache/sealpost}
VENV=$CACHE/venv-tlsrpt
PINS='anyio==4.16.0
authres==1.2.0
certifi==2026.10.18
cffi==2.1.1
cryptography==50.0.2
dkimpy==1.1.8
dnspython==2.9.2
expiringdict==1.2.2
h11==0.16.0
h2==4.4.1
hpack==4.2.0
html2text==2025.4.15
httpcore==1.0.9
httpcore2==2.16.2
httpx==0.28.1
httpx2==2.16.2
hyperframe==6.1.0
idna==3.20
IMAPClient==4.1.0
lxml==6.1.3
mail-parser==4.8.0
mailsuite==2.3.3
maxminddb==3.2.0
parsedmarc==11.1.0
publicsuffix2==2.20191221
publicsuffixlist==1.1.2.20261023
pycparser==3.12
python-dateutil==4.0.0
PyYAML==6.0.3
tqdm==4.70.1
truststore==0.10.5
typing_extensions==4.16.0
tzdata==2026.6
xmltodict==1.0.4'

ready() {
    [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.sealpost-pins" 2>/dev/null)" = "$PINS" ]
}

[ "${1:-}" = install ] || { echo "usage: tlsrpt.sh install" >&2; exit 2; }
ready && exit 0
mkdir -p "$CACHE"
exec 9>"$CACHE/.tlsrpt-install.lock"
flock 9
ready && exit 0
rm -rf "$VENV"
python3 -m venv "$VENV"
# shellcheck disable=SC2086  # one word per pin
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps $PINS >&2
"$VENV/bin/python" -c 'import parsedmarc'
printf '%s\n' "$PINS" >"$VENV/.sealpost-pins"

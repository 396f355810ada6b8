#!/bin/bash
# The script one would write: see sender.py.
set -eu
. "$(dirname "$(realpath "$0")")/../common.sh"

PYTHON=$CACHE/venv/bin/python

cmd_install() {
    "$ROOT/tests/support/install.sh" >&2
    "$PYTHON" -c 'import dkim, platform; from importlib.metadata import version
print("Python", platform.python_version(), "smtplib + dkimpy", version("dkimpy"))'
}

case ${1:-} in
    install) cmd_install ;;
    prepare) ;;
    run) exec "$PYTHON" "$(dirname "$(realpath "$0")")/sender.py" ;;
    *) die "install, prepare or run" ;;
esac

"""Reads TLS reports (RFC 8460) with parsedmarc. Run it with the Python of venv-tlsrpt (see tlsrpt.sh).

    tlsrpt.py json FILE    a report's JSON
    tlsrpt.py gzip FILE    the same, as it is posted
    tlsrpt.py mail FILE    a whole mail with one in it

Prints what parsedmarc made of it, as JSON; fails where it is no report.
"""

import gzip
import json
import sys

import parsedmarc

kind, path = sys.argv[1:]
with open(path, "rb") as file:
    octets = file.read()
if kind == "mail":
    found = parsedmarc.parse_report_email(octets, offline=True)
    assert found["report_type"] == "smtp_tls", found["report_type"]
    report = found["report"]
else:
    report = parsedmarc.parse_smtp_tls_report_json(gzip.decompress(octets) if kind == "gzip" else octets)
print(json.dumps(report))

"""Verifies the sink's sample with dkimpy: prints how many messages carry a good signature, of how many.

    verify.py SAMPLE RECORDS

SAMPLE is a folder of .eml files as `sealpost sandbox --sample` keeps them. RECORDS are the lines that `sealpost init` printed.
Each message must have at least one signature, and all that it has must hold.
"""

import pathlib
import re
import sys

import dkim

# As dkimpy asks: b"s1._domainkey.acme-health.example."
records = {}
for line in pathlib.Path(sys.argv[2]).read_text().splitlines():
    name, _, value = line.partition(" IN TXT ")
    records[name.rstrip(".").lower()] = "".join(re.findall(r'"([^"]*)"', value)).encode()


def dnsfunc(name, timeout=5):
    return records.get(name.decode().rstrip(".").lower())


def good(path):
    text = path.read_bytes()
    head = text.partition(b"\r\n\r\n")[0]
    count = len(re.findall(rb"(?mi)^DKIM-Signature:", head))
    judge = dkim.DKIM(text)
    return count > 0 and all(judge.verify(idx=at, dnsfunc=dnsfunc) for at in range(count))


paths = sorted(pathlib.Path(sys.argv[1]).glob("*.eml"))
print(f"{sum(map(good, paths))} of {len(paths)}")

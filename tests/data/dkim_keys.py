#!/usr/bin/env python3
"""Made dkim-keys.pem: 64 RSA-2048 keys for tests, worth nothing to anybody. The last eight have the smaller prime first, as
some tools write them (openssl puts the larger first, and nothing in PKCS #1 asks for it)."""
import os
import subprocess
import sys
import tempfile


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


def swapped(pem):
    """The same key with its primes the other way round."""
    text = openssl("asn1parse", "-inform", "DER", data=openssl("rsa", "-outform", "DER", "-traditional", data=pem)).decode()
    numbers = [int(line.rsplit(":", 1)[1], 16) for line in text.splitlines() if "INTEGER" in line]
    version, n, e, d, p, q, dp, dq, _ = numbers
    names = ["version", "n", "e", "d", "p", "q", "dp", "dq", "qi"]
    conf = "asn1=SEQUENCE:key\n[key]\n"
    for name, number in zip(names, [version, n, e, d, q, p, dq, dp, pow(p, -1, q)]):
        conf += f"{name}=INTEGER:0x{number:x}\n"
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
        file.write(conf)
        file.flush()
        der = os.path.join(tempfile.gettempdir(), f"swapped-{os.getpid()}.der")
        openssl("asn1parse", "-genconf", file.name, "-noout", "-out", der)
    try:
        return openssl("pkey", "-inform", "DER", "-in", der)
    finally:
        os.unlink(der)


for number in range(64):
    pem = openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    sys.stdout.buffer.write(swapped(pem) if number >= 56 else pem)
    sys.stdout.buffer.flush()

"""A second opinion on verify.py's: verifies DKIM signatures with OpenDKIM, not dkimpy.

    second_verifier.py MAILDIR --dns DNS.json --expect N

Takes what verify.py takes: a Maildir (of exim.sh or postfix.sh) and a JSON
object from the name of a TXT record to its text. The verifying is done by
libopendkim 2.11 (C and OpenSSL: RSA and Ed25519), called directly, since its
`opendkim -t` would need half a mail filter for the same. Messages are checked
as they lie in the Maildir, the receiver's own headers on top. Any Python 3
will do; `exim.sh install` unpacks the library. The last line of output is a
JSON summary; the exit status is 0 only if each message has exactly two
signatures, one of each kind, and both hold. Reasons for a 1 are on stderr.
"""

import argparse
import ctypes
import glob
import json
import os
import re
import sys
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p

# From dkim.h.
STAT_OK = 0
CBSTAT_CONTINUE, CBSTAT_NOTFOUND, CBSTAT_ERROR = 0, 3, 4
SIGFLAG_PROCESSED, SIGFLAG_PASSED = 0x02, 0x04
SIGBH_MATCH = 0
ALGORITHMS = {1: "rsa", 2: "ed25519"}  # rsa-sha1, 0, is not wanted
KEY_LOOKUP = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(ctypes.c_char), c_size_t)
PROTOTYPES = {
    "dkim_init": (c_void_p, [c_void_p, c_void_p]),
    "dkim_set_key_lookup": (c_int, [c_void_p, KEY_LOOKUP]),
    "dkim_verify": (c_void_p, [c_void_p, c_char_p, c_void_p, POINTER(c_int)]),
    "dkim_chunk": (c_int, [c_void_p, c_char_p, c_size_t]),
    "dkim_eom": (c_int, [c_void_p, POINTER(ctypes.c_bool)]),
    "dkim_getsiglist": (c_int, [c_void_p, POINTER(POINTER(c_void_p)), POINTER(c_int)]),
    "dkim_getresultstr": (c_char_p, [c_int]),
    "dkim_sig_process": (c_int, [c_void_p, c_void_p]),
    "dkim_sig_getflags": (c_uint, [c_void_p]),
    "dkim_sig_getbh": (c_int, [c_void_p]),
    "dkim_sig_getsignalg": (c_int, [c_void_p, POINTER(c_int)]),
    "dkim_sig_getdomain": (c_char_p, [c_void_p]),
    "dkim_sig_getselector": (c_char_p, [c_void_p]),
    "dkim_sig_geterror": (c_int, [c_void_p]),
    "dkim_sig_geterrorstr": (c_char_p, [c_int]),
    "dkim_free": (c_int, [c_void_p]),
}


def load_library():
    cache = os.environ.get("SEALPOST_CACHE") or os.path.expanduser("~/.cache/sealpost")
    files = [
        path
        for folder in ("usr/lib", "lib")
        for path in glob.glob(os.path.join(cache, "opendkim", folder, "*-linux-gnu", "*.so.*"))
    ]
    main = [path for path in files if path.endswith("/libopendkim.so.11")]
    if not main:
        sys.exit(f"no libopendkim in {cache}/opendkim; run tests/support/exim.sh install")
    # What else was unpacked beside it is found by name once it is loaded, so
    # that LD_LIBRARY_PATH is not needed; each may need another one first.
    others = [path for path in files if "libopendkim" not in path]
    for _ in range(len(others)):
        for path in others:
            try:
                ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
            except OSError:
                pass
    library = ctypes.CDLL(main[0])
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Verifier:
    """libopendkim with the TXT records of a dict in place of DNS."""

    def __init__(self, records):
        self.dkim = load_library()
        self.records = records
        self.handle = self.dkim.dkim_init(None, None)
        self.lookup = KEY_LOOKUP(self.key)  # kept: C holds no reference
        if not self.handle or self.dkim.dkim_set_key_lookup(self.handle, self.lookup) != STAT_OK:
            sys.exit("libopendkim does not start")

    def key(self, _message, signature, buffer, size):
        name = self.name(signature).lower()
        text = self.records.get(name)
        if text is None:
            return CBSTAT_NOTFOUND
        if len(text) >= size:
            return CBSTAT_ERROR
        ctypes.memmove(buffer, text + b"\0", len(text) + 1)
        return CBSTAT_CONTINUE

    def name(self, signature):
        selector = self.dkim.dkim_sig_getselector(signature).decode()
        return f"{selector}._domainkey.{self.dkim.dkim_sig_getdomain(signature).decode()}"

    def verify(self, wire):
        """Returns the kinds of the good signatures, and what is wrong with others."""
        dkim = self.dkim
        status = c_int()
        message = dkim.dkim_verify(self.handle, b"message", None, byref(status))
        if not message:
            return [], [f"dkim_verify: {self.result(status.value)}"]
        try:
            for chunk in (wire, None):  # None: the end
                status = dkim.dkim_chunk(message, chunk, len(chunk or b""))
                if status != STAT_OK:
                    return [], [f"the message is not taken: {self.result(status)}"]
            # Its status is that of one signature; each has its own below.
            status = dkim.dkim_eom(message, None)
            signatures, count = POINTER(c_void_p)(), c_int()
            if dkim.dkim_getsiglist(message, byref(signatures), byref(count)) != STAT_OK:
                return [], [f"no list of signatures: {self.result(status)}"]
            good, bad = [], []
            for signature in signatures[: count.value]:
                problem = self.check(message, signature)
                algorithm = c_int(-2)
                dkim.dkim_sig_getsignalg(signature, byref(algorithm))
                kind = ALGORITHMS.get(algorithm.value)
                if not kind:
                    problem = problem or f"algorithm {algorithm.value}"
                if problem:
                    bad.append(f"{kind} signature of {self.name(signature)}: {problem}")
                else:
                    good.append(kind)
            return good, bad
        finally:
            dkim.dkim_free(message)

    def check(self, message, signature):
        dkim = self.dkim
        status = STAT_OK
        if not dkim.dkim_sig_getflags(signature) & SIGFLAG_PROCESSED:
            status = dkim.dkim_sig_process(message, signature)
        passed = dkim.dkim_sig_getflags(signature) & SIGFLAG_PASSED
        if status == STAT_OK and passed and dkim.dkim_sig_getbh(signature) == SIGBH_MATCH:
            return None
        if passed and dkim.dkim_sig_getbh(signature) != SIGBH_MATCH:
            return "the body's hash differs"
        return dkim.dkim_sig_geterrorstr(dkim.dkim_sig_geterror(signature)).decode()

    def result(self, status):
        return (self.dkim.dkim_getresultstr(status) or b"?").decode()


def header(name, head):
    """The first header of that name, unfolded, or None."""
    found = re.search(rb"^" + name + rb":((?:.|\n[ \t])*)", head, re.M | re.I)
    return found and b" ".join(found[1].split()).decode("utf-8", "replace")


def main():
    parser = argparse.ArgumentParser(description="Verifies a Maildir's DKIM signatures with libopendkim.")
    parser.add_argument("maildir")
    parser.add_argument("--dns", required=True, help="JSON: TXT record name -> text")
    parser.add_argument("--expect", required=True, type=int, help="number of messages")
    args = parser.parse_args()

    with open(args.dns, encoding="utf-8") as file:
        verifier = Verifier({k.rstrip(".").lower(): v.encode() for k, v in json.load(file).items()})

    failures, paths = [], []
    for folder in ("new", "cur"):
        path = os.path.join(args.maildir, folder)
        if os.path.isdir(path):
            paths += sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        else:
            failures.append(f"{path}: no such folder")

    counts = {"rsa": 0, "ed25519": 0}
    message_ids, recipients = {}, set()
    for path in paths:
        label = os.path.relpath(path, args.maildir)
        with open(path, "rb") as file:
            raw = file.read()
        if b"\r" in raw:
            failures.append(f"{label}: a CR that is not part of a line end")
        head = raw.partition(b"\n\n")[0]
        recipient = header(b"X-Original-To", head) or header(b"Delivered-To", head)
        if recipient:
            recipients.add(recipient)
        else:
            failures.append(f"{label}: no X-Original-To or Delivered-To")
        message_id = header(b"Message-ID", head)
        if not message_id:
            failures.append(f"{label}: no Message-ID")
        elif message_id in message_ids:
            failures.append(f"{label}: has the Message-ID of {message_ids[message_id]}")
        message_ids.setdefault(message_id, label)
        good, bad = verifier.verify(raw.replace(b"\n", b"\r\n"))
        failures += [f"{label}: {reason}" for reason in bad]
        if not bad and sorted(good) != ["ed25519", "rsa"]:
            failures.append(f"{label}: signed with {good}")
        for kind in set(good):
            counts[kind] += 1
    message_ids.pop(None, None)

    if len(paths) != args.expect:
        failures.insert(0, f"{len(paths)} messages where {args.expect} were expected")
    for failure in failures:
        print(failure, file=sys.stderr)
    summary = {"messages": len(paths), **counts}
    summary |= {"unique_message_ids": len(message_ids), "recipients": len(recipients), "failures": failures[:10]}
    print(json.dumps(summary))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

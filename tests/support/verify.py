"""Checks the messages that the test receiver (postfix.sh) put into a Maildir.

    verify.py MAILDIR --dns DNS.json --expect N [--render OUT.json]

DNS.json maps the name of a TXT record ("s1._domainkey.acme.example") to its
text. Each message is parsed with the standard library alone, and each of its
DKIM signatures is verified with dkimpy. Run it with the venv's Python (see
install.sh). The last line of output is a JSON summary; the exit status is 0
only if everything held, and the reasons for a 1 are on stderr.

--render writes {recipient: {"subject", "text", "html"}}, all decoded, so that
two runs can be compared.
"""

import argparse
import base64
import binascii
import email
import email.policy
import json
import os
import re
import sys

import dkim

ADDED = (b"return-path", b"x-original-to", b"delivered-to", b"received")
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version")
OVERSIGNED = ("from", "subject", "to", "date")
ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
MAX_LINE = 998


class Bad(Exception):
    """A message that breaks a rule; its text says which."""


def split_added(raw):
    """Splits the headers that Postfix put on top from the message as sent."""
    added = []
    pos = 0
    while True:
        end = raw.find(b"\n", pos) + 1
        while end and raw[end : end + 1] in (b" ", b"\t"):
            end = raw.find(b"\n", end) + 1
        name, colon, value = raw[pos:end].partition(b":")
        if not end or not colon or name.lower() not in ADDED:
            return added, raw[pos:]
        added.append((name.decode("ascii").lower(), value.decode("utf-8", "replace").strip()))
        if name.lower() == b"received":  # the last that Postfix adds
            return added, raw[end:]
        pos = end


def same_mailbox(a, b):
    """Domains are compared without case, local parts as they are."""
    (la, _, da), (lb, _, db) = a.rpartition("@"), b.rpartition("@")
    return la == lb and da.lower() == db.lower()


def check_octets(sent):
    if b"\r" in sent:
        raise Bad("a CR that is not part of a line end")
    if b"\0" in sent:
        raise Bad("a NUL octet")
    if not sent.isascii():
        raise Bad("not 7-bit clean")
    longest = max(map(len, sent.split(b"\n")))
    if longest > MAX_LINE:
        raise Bad(f"a line of {longest} octets")
    if not sent.endswith(b"\n"):
        raise Bad("the last line has no line end")


def decode_part(part, kind):
    """The text of a leaf part, decoded strictly as its headers declare."""
    if part.get_content_type() != kind:
        raise Bad(f"{part.get_content_type()} where {kind} should be")
    charset = part.get_content_charset()
    if charset is None:
        raise Bad(f"{kind} declares no charset")
    raw = part.get_payload()
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    if encoding in ("quoted-printable", "base64") and any(len(line) > 76 for line in raw.splitlines()):
        raise Bad(f"{kind}: a {encoding} line of over 76 octets")
    if encoding == "base64":
        try:
            octets = base64.b64decode("".join(raw.split("\n")), validate=True)
        except binascii.Error as err:
            raise Bad(f"{kind}: {err}") from err
    elif encoding == "quoted-printable":
        if re.search(r"=(?![0-9A-F]{2}|\n)|[ \t]$", raw, re.M):
            raise Bad(f"{kind}: invalid quoted-printable")
        octets = part.get_payload(decode=True)
    elif encoding == "7bit":
        octets = raw.encode("ascii")
    else:
        raise Bad(f"{kind}: transfer encoding {encoding}")
    try:
        text = octets.decode(charset, "strict")
    except (LookupError, UnicodeDecodeError) as err:
        raise Bad(f"{kind}: {err}") from err
    if part.defects:
        raise Bad(f"{kind}: {part.defects!r}")
    return text.replace("\r\n", "\n")


def check_structure(sent):
    """Returns the parsed message, its plain text and its HTML."""
    msg = email.message_from_bytes(sent, policy=email.policy.default)
    for part in msg.walk():
        if part.defects:
            raise Bad(f"defects: {part.defects!r}")
        for name, value in part.items():
            if value.defects:
                raise Bad(f"defects in {name}: {value.defects!r}")
    for name in ONCE:
        count = len(msg.get_all(name, []))
        if count != 1:
            raise Bad(f"{count} {name} headers")
    if msg["Date"].datetime is None:
        raise Bad(f"Date does not parse: {msg['Date']}")
    if not msg["From"].addresses or not msg["To"].addresses:
        raise Bad("no address in From or To")
    if not re.fullmatch(r"<[^\s<>@]+@[^\s<>@]+>", str(msg["Message-ID"]).strip()):
        raise Bad(f"Message-ID {msg['Message-ID']}")
    if str(msg["MIME-Version"]).strip() != "1.0":
        raise Bad(f"MIME-Version {msg['MIME-Version']}")
    if msg.get_content_type() != "multipart/alternative":
        raise Bad(f"{msg.get_content_type()} where multipart/alternative should be")
    parts = list(msg.iter_parts())
    if len(parts) != 2:
        raise Bad(f"{len(parts)} parts")
    return msg, decode_part(parts[0], "text/plain"), decode_part(parts[1], "text/html")


def check_dkim(msg, sent, dnsfunc):
    """Verifies all signatures; returns the names of the good ones."""
    values = msg.get_all("DKIM-Signature", [])
    good, reasons = [], []
    if len(values) != 2:
        reasons.append(f"{len(values)} DKIM signatures")
    wire = sent.replace(b"\n", b"\r\n")
    for idx, value in enumerate(values):
        name = f"DKIM signature {idx}"
        try:
            tags = dkim.util.parse_tag_value("".join(str(value).split()).encode())
            tags = {k.decode(): v.decode() for k, v in tags.items()}
        except Exception as err:
            reasons.append(f"{name}: {err!r}")
            continue
        name += f" (a={tags.get('a')})"
        problems = []
        if tags.get("a") not in ALGORITHMS:
            problems.append("unexpected algorithm")
        if tags.get("c") != "relaxed/relaxed":
            problems.append(f"c={tags.get('c')}")
        if "l" in tags:
            problems.append("has an l= tag")
        signed = tags.get("h", "").lower().split(":")
        for header in OVERSIGNED:
            if signed.count(header) < 2:
                problems.append(f"h= names {header} {signed.count(header)} times")
        try:
            if not dkim.DKIM(wire).verify(idx=idx, dnsfunc=dnsfunc):
                problems.append("does not verify")
        except Exception as err:
            problems.append(f"does not verify: {err!r}")
        if problems:
            reasons.append(f"{name}: {', '.join(problems)}")
        else:
            good.append(ALGORITHMS[tags["a"]])
    if not reasons and sorted(good) != ["ed25519", "rsa"]:
        reasons.append(f"signed with {good}")
    return good, reasons


def main():
    parser = argparse.ArgumentParser(description="Checks a Maildir of the test receiver.")
    parser.add_argument("maildir")
    parser.add_argument("--dns", required=True, help="JSON: TXT record name -> text")
    parser.add_argument("--expect", required=True, type=int, help="number of messages")
    parser.add_argument("--render", help="write the decoded contents here as JSON")
    args = parser.parse_args()

    with open(args.dns, encoding="utf-8") as file:
        dns = {k.rstrip(".").lower(): v.encode() for k, v in json.load(file).items()}

    def dnsfunc(name, timeout=None):
        return dns.get(name.decode().rstrip(".").lower())

    failures = []
    paths = []
    for folder in ("new", "cur"):
        path = os.path.join(args.maildir, folder)
        if os.path.isdir(path):
            paths += sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        else:
            failures.append(f"{path}: no such folder")

    counts = {"rsa": 0, "ed25519": 0}
    message_ids, recipients, render = {}, set(), {}
    for path in paths:
        label = os.path.relpath(path, args.maildir)

        def fail(reason, label=label):
            failures.append(f"{label}: {reason}")

        with open(path, "rb") as file:
            added, sent = split_added(file.read())
        top = dict(added)
        recipient = top.get("x-original-to") or top.get("delivered-to")
        if recipient:
            recipients.add(recipient)
        else:
            fail("no X-Original-To or Delivered-To")
        if not re.search(r"\(using TLSv1\.[23] with cipher ", top.get("received", "")):
            fail("the Received header shows no TLS")
        try:
            check_octets(sent)
        except Bad as err:
            fail(err)
        try:
            msg, text, html = check_structure(sent)
        except Bad as err:
            fail(err)
            msg = email.message_from_bytes(sent, policy=email.policy.default)
        except Exception as err:  # the parser itself gave up
            fail(f"does not parse: {err!r}")
            continue
        else:
            addresses = [a.addr_spec for a in msg["To"].addresses]
            if recipient and not any(same_mailbox(recipient, a) for a in addresses):
                fail(f"delivered to {recipient}, but To is {msg['To']}")
            if args.render and recipient in render:
                fail(f"another message for {recipient}")
            render[recipient] = {"subject": str(msg["Subject"]), "text": text, "html": html}
        try:
            message_id = str(msg["Message-ID"]).strip()
            if message_id in message_ids:
                fail(f"has the Message-ID of {message_ids[message_id]}")
            message_ids.setdefault(message_id, label)
            good, reasons = check_dkim(msg, sent, dnsfunc)
        except Exception as err:
            fail(repr(err))
            continue
        for reason in reasons:
            fail(reason)
        for name in set(good):
            counts[name] += 1

    if len(paths) != args.expect:
        failures.insert(0, f"{len(paths)} messages where {args.expect} were expected")

    if args.render:
        with open(args.render, "w", encoding="utf-8") as file:
            json.dump(render, file, ensure_ascii=False, indent=1, sort_keys=True)
            file.write("\n")
    for failure in failures:
        print(failure, file=sys.stderr)
    print(
        json.dumps(
            {
                "messages": len(paths),
                **counts,
                "unique_message_ids": len(message_ids),
                "recipients": len(recipients),
                "failures": failures[:10],
            }
        )
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

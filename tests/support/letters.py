#!/usr/bin/env python3
"""Takes the letters of the statement demo apart with the standard library, as a mail program would.

    letters.py FOLDER ROW...         FOLDER holds the preview ROW.eml of each row of config/statement/claims.csv
    letters.py --delivered MAILDIR   a receiver's maildir with one message for each row

The exit status is 0 only if every letter has the structure, the names, the languages and, octet for octet, the files that it
should have.
"""
import csv
import email
import email.policy
import pathlib
import re
import sys

DEMO = pathlib.Path(__file__).resolve().parents[2] / "config" / "statement"
TREE = ["multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "application/pdf"]
POLICY = email.policy.default.clone(utf8=True)
NAMES = {"en": "Acme Health claim statement 2026-09.pdf", "es": "Acme Salud resumen de reclamación 2026-09.pdf"}


def check(raw, row):
    head, body = raw.split(b"\r\n\r\n", 1)
    local = row["email"].rsplit("@", 1)[0]
    assert all(len(line) <= 998 for line in raw.split(b"\r\n")), "a long line"
    assert b"\n" not in raw.replace(b"\r\n", b""), "a bare LF"
    assert body.isascii(), "the body is not 7-bit"
    assert head.isascii() == local.isascii(), "UTF-8 in the header exactly where the address asks for it"
    message = email.message_from_bytes(raw, policy=POLICY)
    parts = list(message.walk())
    assert not [defect for part in parts for defect in part.defects], "a defect"
    assert [part.get_content_type() for part in parts] == TREE, "another structure"

    [to] = message["To"].addresses
    assert to.display_name == row["full_name"], "another name"
    # Python reads raw octets of a header field as surrogates.
    username = to.username.encode("ascii", "surrogateescape").decode("utf-8")
    assert username == local and to.domain.isascii(), "another address"
    language = "es" if row["language"].startswith("es") else "en"
    assert message["Content-Language"] == language, "another language"
    assert ("resumen" in message["Subject"]) == (language == "es"), "a subject in another language"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Feedback-ID"] == "claim-statement:acme-health"

    _, _, text, _, html, image, pdf = parts
    assert image.get_content() == (DEMO / "logo.png").read_bytes(), "another logo"
    assert pdf.get_content() == (DEMO / "statements" / row["statement_pdf"]).read_bytes(), "another statement"
    assert pdf.get_filename() == NAMES[language], "another file name"
    shown = re.findall('"cid:([^"]+)"', html.get_content())
    assert shown and all(f"<{cid}>" == image["Content-ID"] for cid in shown), "a cid that leads nowhere"
    month = "septiembre" if language == "es" else "September"
    for body in (" ".join(text.get_content().split()), html.get_content()):
        assert row["claim_id"] in body and row["provider"] in body and month in body, "something is missing"
    assert "<" not in text.get_content() and "adjuntamos" not in text.get_content().lower(), "the text shows what is hidden"


def claims():
    with open(DEMO / "claims.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_sent(raw):
    """A delivered message with CR LF, and without what the receiver wrote above our signatures."""
    raw = re.sub(rb"\r?\n", b"\r\n", raw)
    return raw[raw.index(b"DKIM-Signature:"):]


def check_delivered(maildir):
    letters = [as_sent(path.read_bytes()) for path in (maildir / "new").iterdir()]
    rows = claims()
    assert len(letters) == len(rows), f"{len(rows)} rows, {len(letters)} letters"
    for row in rows:
        # Quoted-printable leaves a claim number as it is, and each letter shows its own.
        [letter] = [letter for letter in letters if row["claim_id"].encode() in letter]
        check(letter, row)
    print(f"{len(rows)} letters were delivered as they should be")


def main():
    if sys.argv[1] == "--delivered":
        return check_delivered(pathlib.Path(sys.argv[2]))
    folder, rows = pathlib.Path(sys.argv[1]), sys.argv[2:]
    expected = claims()
    assert len(rows) == len(expected), f"{len(expected)} rows, {len(rows)} previews"
    for number in rows:
        try:
            check((folder / f"{number}.eml").read_bytes(), expected[int(number) - 1])
        except AssertionError as wrong:
            sys.exit(f"row {number}: {wrong}")
    print(f"{len(rows)} letters are as they should be")


if __name__ == "__main__":
    main()

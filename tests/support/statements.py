#!/usr/bin/env python3
"""Writes the statement demo's input: config/statement/claims.csv and a small PDF for each row. Everybody in it is made up.

The PDFs use a font that every reader has, and so Latin letters only: they show the claim, not the name. The output is the
same every time and checked in; run this again after changing ROWS.
"""
import csv
import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "config" / "statement"
HEADER = ["claim_id", "email", "language", "full_name", "member_id", "plan_name", "provider", "service_date", "statement_month",
          "billed", "plan_paid", "you_owe", "services", "statement_pdf"]
# email, language, name, provider, day of service, services with amounts, share that the plan paid in percent
ROWS = [
    ("ann.okafor@gmail.example", "en", "Ann Okafor", "Springfield General Hospital", "2026-09-03", [("Office visit", "185.00"), ("Blood test", "64.50")], 80),
    ("luz.moreno@correo.example", "es", "Luz Moreno Ibáñez", "Clínica del Valle", "2026-09-07", [("Consulta médica", "160.00")], 100),
    ("संपर्क@डाटामेल.example", "en", "आरती शर्मा", "Riverside Family Practice", "2026-09-09", [("Office visit", "150.00"), ("Vaccination", "42.00")], 75),
    ("δοκιμή@παράδειγμα.example", "en", "Ελένη Παπαδοπούλου", "Harbor Eye Center", "2026-09-11", [("Eye examination", "120.00")], 60),
    ("carlos.nunez@empresa.example", "es-MX", "Carlos Núñez", "Hospital San Gabriel", "2026-09-12", [("Radiografía", "310.00"), ("Consulta de urgencia", "540.25")], 70),
    ("wei.zhang@post.example", "zh", "张伟", "Lakeside Dental Group", "2026-09-14", [("Dental cleaning", "98.00")], 50),
    ("ann@bücher.example", "en", "Ann-Kathrin Müller", "Springfield General Hospital", "2026-09-15", [("Physical therapy", "75.00"), ("Physical therapy", "75.00")], 90),
    ("o'brien+plan@mail.example", "", "Siobhán O'Brien", "Northgate Orthopedics", "2026-09-18", [("MRI of the knee", "1240.00")], 85),
    ("olga@почта.example", "ru", "Ольга Смирнова", "Riverside Family Practice", "2026-09-21", [("Office visit", "150.00")], 80),
    ("josé.peña@correo.example", "es", "José Peña", "Clínica del Valle", "2026-09-24", [("Análisis de sangre", "88.40"), ("Consulta médica", "160.00")], 100),
]


def pdf(lines):
    """A PDF of one page with these lines."""
    text = b"".join(b"(%s) Tj T*\n" % escaped(line) for line in lines)
    stream = b"BT /F1 11 Tf 15 TL 72 720 Td\n" + text + b"ET\n"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%sendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, len(out))


def escaped(line):
    return line.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def cents(amount):
    whole, fraction = amount.split(".")
    return int(whole) * 100 + int(fraction)


def dollars(amount):
    return f"{amount // 100}.{amount % 100:02}"


def main():
    with open(FOLDER / "claims.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        for number, (email, language, name, provider, day, services, share) in enumerate(ROWS, 1):
            claim, member = f"C2026-{4100 + number}", f"AH{70030310 + 17 * number}"
            billed = sum(cents(amount) for _, amount in services)
            paid = billed * share // 100
            pdf_name = f"2026-09/{claim}.pdf"
            listed = [{"name": service, "amount": amount} for service, amount in services]
            table.writerow([claim, email, language, name, member, "Acme Silver PPO", provider, day, "2026-09-30", dollars(billed),
                            dollars(paid), dollars(billed - paid), json.dumps(listed, ensure_ascii=False), pdf_name])
            lines = ["Acme Health - claim statement - THIS IS NOT A BILL", "", f"Claim {claim}    Member ID ends in {member[-4:]}",
                     f"Provider: {provider}", f"Date of service: {day}", ""]
            lines += [f"{service}: ${amount}" for service, amount in services]
            lines += ["", f"Billed ${dollars(billed)}   Plan paid ${dollars(paid)}   You may owe ${dollars(billed - paid)}", "",
                      "You may appeal within 180 days: write to Acme Health Appeals, 100 Example Avenue, Springfield."]
            path = FOLDER / "statements" / pdf_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pdf(lines))


if __name__ == "__main__":
    main()

"""Signs and sends finished messages: smtplib and dkimpy, as their documentation has it.

One process a CPU, since Python runs one thread at a time; each keeps one connection (smtplib: "sendmail … can be called
repeatedly") and parses nothing twice that it need not. More connections would only wait for the same CPU.
"""

import multiprocessing
import os
import smtplib
import ssl
import sys

import dkim

env = os.environ
DOMAIN, SELECTOR = env["PEER_DOMAIN"].encode(), env["PEER_SELECTOR"].encode()
MESSAGES_A_CONNECTION = 1000


class Smtp(smtplib.SMTP):
    """127.0.0.1, with the name that the certificate must prove."""

    def starttls(self, *, context):
        self._host = env["PEER_SINK_HOST"]
        return super().starttls(context=context)


def connect(context):
    smtp = Smtp("127.0.0.1", int(env["PEER_SINK_PORT"]), local_hostname="out." + env["PEER_DOMAIN"])
    smtp.starttls(context=context)
    return smtp


def send(share, shares):
    context = ssl.create_default_context(cafile=env["PEER_CA"])
    with open(env["PEER_KEY"], "rb") as file:
        key = file.read()
    smtp, sent = None, 0
    with open(env["PEER_MESSAGES"] + "/list", encoding="utf-8") as lines:
        for at, line in enumerate(lines):
            if at % shares != share:
                continue
            number, sender, recipient = line.rstrip("\n").split("\t")
            with open(f"{env['PEER_MESSAGES']}/{number}.eml", "rb") as file:
                message = file.read()
            signature = dkim.sign(message, SELECTOR, DOMAIN, key, canonicalize=(b"relaxed", b"relaxed"))
            if sent % MESSAGES_A_CONNECTION == 0:
                if smtp:
                    smtp.quit()
                smtp = connect(context)
            smtp.sendmail(sender, [recipient], signature + message)
            sent += 1
    if smtp:
        smtp.quit()


def main():
    shares = int(env["PEER_CPUS"])
    print("ready", flush=True)
    if sys.stdin.readline().strip() != "go":
        sys.exit("no word to begin")
    workers = [multiprocessing.Process(target=send, args=(share, shares)) for share in range(shares)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit("a worker failed")


if __name__ == "__main__":
    main()

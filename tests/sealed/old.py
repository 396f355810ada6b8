"""A TLS server of yesterday: it speaks 1.0 and 1.1 only. It takes handshakes and says "up VERSION" for each that succeeds.

Usage: old.py PEM; prints its port first, once a client of its own day has got through.
"""

import socket
import ssl
import sys
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)


def of_yesterday(context):
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


server = of_yesterday(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
server.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0), backlog=64)


def take(stream):
    try:
        with server.wrap_socket(stream, server_side=True) as wrapped:
            return wrapped.version()
    except OSError:
        return None


def check():
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    with socket.create_connection(listener.getsockname()) as stream:
        of_yesterday(client).wrap_socket(stream).close()


checking = threading.Thread(target=check)
checking.start()
assert take(listener.accept()[0]) == "TLSv1.1", "this Python can't speak TLS 1.1"
checking.join()
print(listener.getsockname()[1], flush=True)


def work(stream):
    version = take(stream)
    if version:
        print("up", version, flush=True)


while True:
    threading.Thread(target=work, args=(listener.accept()[0],), daemon=True).start()

"""A web server with TLS on loopback, for MTA-STS policies and TLS reports.

    web.py FOLDER CERTIFICATE KEY

Prints its port. Answers GET with FOLDER/policy, as text/plain; writes the body of each POST to FOLDER/posted, its media type
to FOLDER/type and its path to FOLDER/path, and answers 201, or what FOLDER/status says.
"""

import http.server
import os
import ssl
import sys

folder, certificate, key = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(os.path.join(folder, "policy"), "rb") as file:
            self.answer(200, file.read())

    def do_POST(self):
        said = {"posted": self.rfile.read(int(self.headers["Content-Length"]))}
        said["type"], said["path"] = self.headers["Content-Type"].encode(), self.path.encode()
        for name, octets in said.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(octets)
        status = os.path.join(folder, "status")
        self.answer(int(open(status).read()) if os.path.exists(status) else 201, b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()

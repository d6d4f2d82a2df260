"""The views on the standard library's http.server, speaking HTTP/1.1 with keep-alive.

It reads no chunked request: a body without a Content-Length does not exist for it.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import views


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, name, id = self.path.split("/")
        if name == "drip":
            self.stream(views.drip(id))
        elif name == "big":
            self.whole(views.big(id), views.EIGHT_MIB)
        else:
            body = getattr(views, name)(id)
            self.whole([body], len(body))

    def do_POST(self):
        _, _, id = self.path.split("/")
        length = int(self.headers.get("Content-Length", 0))
        body = views.upload(id, lambda: self.rfile.read(length))
        self.whole([body], len(body))

    def whole(self, pieces, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def stream(self, pieces):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


kind = ThreadingHTTPServer if "--threaded" in sys.argv else HTTPServer
with kind(("127.0.0.1", int(os.environ.get("PORT", 0))), Handler) as server:
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

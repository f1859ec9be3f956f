"""The other end of the traffic: answers HTTP on three addresses."""

import http.server
import threading


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello " * 200
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


for address in (("10.42.0.10", 8080), ("198.51.100.7", 80), ("198.51.100.7", 443)):
    server = http.server.ThreadingHTTPServer(address, Answer)
    threading.Thread(target=server.serve_forever).start()

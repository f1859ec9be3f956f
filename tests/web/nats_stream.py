"""Publishes records to NATS. Debian has no NATS client; enough of its protocol to publish fits here."""

import base64
import json
import socket
import sys
import urllib.parse


class Stream:
    """One connection, as the agent of `token`, which has the password of its NATS user."""

    def __init__(self, url, token):
        parts = urllib.parse.urlsplit(url)
        self.token = token
        self.file = socket.create_connection((parts.hostname, parts.port), timeout=60).makefile("rwb")
        self.file.readline()  # INFO
        claims = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        login = {"verbose": False, "pedantic": False, "headers": True, "user": claims["sub"], "pass": claims["nats"]}
        self.file.write(f"CONNECT {json.dumps(login)}\r\n".encode())

    def publish(self, payload, message_id):
        header = f"NATS/1.0\r\nNats-Msg-Id: {message_id}\r\nLattice-Agent-Token: {self.token}\r\n\r\n".encode()
        body = payload.encode()
        self.file.write(b"HPUB lattice.audit.flow %d %d\r\n%s%s\r\n" % (len(header), len(header) + len(body), header, body))

    def flush(self):
        """Returns when the server has read all of it; ends the program when it refuses some."""
        self.file.write(b"PING\r\n")
        self.file.flush()
        for line in iter(self.file.readline, b""):
            if line.startswith(b"-ERR"):
                sys.exit(f"NATS says {line.decode()}")
            if line.startswith(b"PONG"):
                return
        sys.exit("NATS has closed the connection")

"""What the agent does, until it is stopped: two destinations that rules allow, three that none does."""

import socket
import time
import urllib.request

ALLOWED = ("http://10.42.0.10:8080/", "http://198.51.100.7:443/")
DENIED = (("198.51.100.7", 80), ("203.0.113.9", 25))
SECONDS_BETWEEN = 0.4

while True:
    for url in ALLOWED:
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()
    for address in DENIED:
        with socket.socket() as attempt:
            attempt.settimeout(0.1)
            try:
                attempt.connect(address)
                raise SystemExit(f"{address} is not denied")
            except TimeoutError:
                pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attempt:
        try:
            attempt.sendto(b"?", ("192.0.2.53", 53))
        except PermissionError:  # the hook's answer to a datagram
            pass
    time.sleep(SECONDS_BETWEEN)

"""many.py NATS-URL TOKEN-FILE AGENT COUNT: as many records of one node, over the last 50 minutes, one in five denied."""

import datetime
import json
import pathlib
import sys

import nats_stream

NODE = "many-node"
BOOT = "7d3f0c52-0000-4000-8000-00000000cafe"
SPAN_SECONDS = 3000
AT_ONCE = 1000  # messages between two answers of the server

url, token_file, agent, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
stream = nats_stream.Stream(url, pathlib.Path(token_file).read_text(encoding="utf-8").strip())
now = datetime.datetime.now(datetime.timezone.utc)


def record(seq):
    time = now - datetime.timedelta(seconds=SPAN_SECONDS * (count - seq) / count)
    ts = time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
    denied = seq % 5 == 0
    host = seq * 7919 % 4000
    address = f"172.{16 if denied else 17}.{host // 250}.{host % 250 + 1}"
    return {"agentId": agent, "traceId": "", "direction": "egress", "dstIp": address, "dstPort": 25 if denied else 443, "bytes": 60 if denied else 4096,
            "ts": ts, "v": 1, "eventId": f"{NODE}/{BOOT}/{seq}", "seq": seq, "node": NODE, "event": "denied" if denied else "end",
            "verdict": "drop" if denied else "allow", "reason": "no_rule" if denied else "allow_rule", "rule": "" if denied else "172.17.0.0/16:443",
            "srcIp": "10.42.0.4", "srcPort": 1024 + seq % 60000, "protocol": "tcp", "bytesOut": 60 if denied else 1024, "bytesIn": 0 if denied else 3072,
            "packetsOut": 1, "packetsIn": 0 if denied else 3, "start": ts, "durationMs": 0, "policyGeneration": 1, "iface": "wg0", "scope": "iface",
            "mode": "enforce", "monotonicNs": seq, "flowId": f"{BOOT}-{seq:x}-00000000"}


for number in range(1, count + 1):
    stream.publish(json.dumps(record(number)), f"{NODE}/{BOOT}/{number}")
    if number % AT_ONCE == 0:
        stream.flush()
stream.flush()

"""messages.py NATS-URL TOKEN-FILE AGENT: what a second node sends, with what goes wrong in practice.

Records 1 to 400 of one boot, of which 4 and 5 never come and 8 to 11 are named by a loss event; and one message that is
no record.
"""

import datetime
import json
import pathlib
import sys

import nats_stream

NODE = "second-node"
BOOT = "7d3f0c52-0000-4000-8000-00000000beef"
MISSING = (4, 5)
LOST = (8, 9, 10, 11)
LAST = 400

token = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8").strip()
agent = sys.argv[3]
now = datetime.datetime.now(datetime.timezone.utc)


def time_of(seconds_ago):
    return (now - datetime.timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def common(seq, event):
    return {"agentId": agent, "ts": time_of((LAST - seq) * 3), "v": 1, "eventId": f"{NODE}/{BOOT}/{seq}", "seq": seq, "node": NODE,
            "event": event, "monotonicNs": seq, "iface": "wg0", "scope": "iface", "mode": "enforce"}


def flow(seq):
    record = common(seq, "end")
    record.update({"traceId": f"trace-{seq % 5}", "direction": "egress", "dstIp": "2001:db8::7" if seq % 4 else "198.51.100.99", "dstPort": 443,
                   "bytes": 3000 * seq, "verdict": "allow", "reason": "allow_rule", "rule": "::/0:443", "srcIp": "10.42.0.3",
                   "srcPort": 40000 + seq, "protocol": "tcp", "bytesOut": 1000 * seq, "bytesIn": 2000 * seq, "packetsOut": seq, "packetsIn": seq,
                   "start": time_of((LAST - seq) * 3 + 2), "durationMs": 1500, "endReason": "fin", "policyGeneration": 1, "host": "pkg.example.net",
                   "flowId": f"{BOOT}-{seq:x}-0"})
    return record


def loss(seq):
    record = common(seq, "loss")
    record.update({"traceId": "", "direction": "", "dstIp": "", "dstPort": 0, "bytes": 0, "stage": "disk", "count": len(LOST),
                   "from": time_of(1300), "to": time_of(1200), "firstSeq": LOST[0], "lastSeq": LOST[-1]})
    return record


stream = nats_stream.Stream(sys.argv[1], token)
for number in range(1, LAST + 1):
    if number in MISSING or number in LOST:
        continue
    record = loss(number) if number == LOST[-1] + 1 else flow(number)
    stream.publish(json.dumps(record), record["eventId"])
stream.publish('{"agentId": "' + agent + '", "dstPort": "four hundred"', "no-record")
stream.flush()

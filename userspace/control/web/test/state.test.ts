import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, judgeAll } from "../src/lib/completeness.ts";
import { sameFlowLink } from "../src/lib/links.ts";
import { LiveBuffer, MAX_LIVE_ROWS } from "../src/lib/live_buffer.ts";
import { EventParser } from "../src/lib/sse.ts";
import { columnsOf } from "../src/lib/timeline.ts";
import type { FlowEvent, Source } from "../src/lib/types.ts";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const event = (id: string): FlowEvent => ({ eventId: id, ts: "2026-01-01T11:59:59Z", event: "start" });
const source = (change: Partial<Source>): Source => ({ node: "n", boot: "b", firstSeq: 1, lastSeq: 9, stored: 9, missing: 0, lost: 0, ...change });

test("the banner is red for unexplained gaps, amber for known losses and silence, green otherwise", () => {
  const level = (watermark: string, gaps: number, lost: number): string => judge({ watermark, gaps, lost }, NOW).level;
  assert.equal(level("2026-01-01T11:59:58Z", 0, 0), "good");
  assert.equal(level("2026-01-01T11:59:58Z", 3, 9), "bad");
  assert.equal(level("2026-01-01T11:59:58Z", 0, 9), "warn");
  assert.equal(level("2026-01-01T11:00:00Z", 0, 0), "warn");
  assert.equal(level("", 0, 0), "none");
});

test("integrity counts what is missing and names the node", () => {
  const gap = { node: "n", boot: "b", firstSeq: 4, lastSeq: 6 };
  assert.match(judgeAll([source({})], [gap], [], []).sentence, /3 records of n are missing/);
  assert.equal(judgeAll([source({ lost: 3 })], [{ ...gap, explainedBy: "n/b/9" }], [], []).level, "warn");
});

test("a forged digest outweighs everything", () => {
  const digest = { node: "n", boot: "b", seq: 9, h: "", signature: "x", signatureValid: false };
  assert.match(judgeAll([source({})], [], [digest], []).sentence, /signature/);
  assert.equal(judgeAll([source({})], [], [{ ...digest, signatureValid: true }], []).level, "good");
});

test("a head beyond what came is told", () => {
  assert.equal(judgeAll([source({ head: { seq: 12, h: "", ts: "" } })], [], [], []).level, "warn");
});

test("events come out of a stream however it is cut", () => {
  const text = ": hi\n\nid: n/b/1\ndata: {\"a\":1}\n\nevent: cut\ndata: slow\n\nid: n/b/2\ndata: x\ndata: y\n\n";
  for (const size of [1, 7, text.length]) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(events, [
      { id: "n/b/1", event: "message", data: "{\"a\":1}" },
      { id: "n/b/1", event: "cut", data: "slow" },
      { id: "n/b/2", event: "message", data: "x\ny" },
    ]);
  }
});

test("the tail is bounded, and a pause keeps the newest and counts all", () => {
  const buffer = new LiveBuffer();
  for (let i = 0; i < MAX_LIVE_ROWS + 10; i += 1) buffer.add(event(`a${i}`), `a${i}`, NOW);
  assert.equal(buffer.events.length, MAX_LIVE_ROWS);
  assert.equal(buffer.events[0]?.eventId, `a${MAX_LIVE_ROWS + 9}`);
  buffer.setPaused(true);
  for (let i = 0; i < 700; i += 1) buffer.add(event(`b${i}`), `b${i}`, NOW + 1000);
  assert.equal(buffer.waiting, 700);
  assert.equal(buffer.events[0]?.eventId, `a${MAX_LIVE_ROWS + 9}`);
  buffer.setPaused(false);
  assert.deepEqual([buffer.events[0]?.eventId, buffer.events.length, buffer.waiting, buffer.lastId], ["b699", MAX_LIVE_ROWS, 0, "b699"]);
  assert.equal(buffer.perSecond(NOW + 5500), 140);
});

test("buckets that the server leaves out are zero", () => {
  const points = [{ ts: "2026-01-01T11:58:00Z", allowed: 5, denied: 1, bytes: 9 }];
  const columns = columnsOf({ points, bucketSeconds: 60 }, NOW - 300_000, NOW);
  assert.deepEqual(columns.allowed, [0, 0, 0, 5, 0]);
  assert.deepEqual(columns.denied, [0, 0, 0, 1, 0]);
  assert.equal(columnsOf(undefined, NOW - 3_600_000, NOW).times.length, 60);
});

test("all of a flow is a filter over its addresses from its start on", () => {
  const link = sameFlowLink({ ...event("n/b/1"), agentId: "a", srcIp: "10.42.0.2", dstIp: "192.0.2.7", dstPort: 443, protocol: "tcp", start: "2026-01-01T11:59:00Z" });
  assert.equal(link, "/flows?agentName=a&src=10.42.0.2%2F32&dst=192.0.2.7%2F32&port=443&protocol=tcp&from=2026-01-01T11%3A58%3A59.000Z");
});

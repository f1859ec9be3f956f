import assert from "node:assert/strict";
import { test } from "node:test";
import { addTerm, parseTerm, parseView, printView, queryOf, rangeOf, setField, streamQueryOf } from "../src/lib/filter.ts";

const SHARED = "?agentName=build-7&verdict=drop&dst=%2110.0.0.0%2F8&port=443&port=%2180&from=-6h&order=asc";

test("a view goes through the URL unchanged", () => {
  assert.equal(printView(parseView(SHARED)), SHARED);
});

test("repeated filters and negation are kept apart", () => {
  const view = parseView("?port=443&port=!80&agentId=a");
  assert.deepEqual(view.terms, [
    { field: "port", value: "443", negate: false },
    { field: "port", value: "80", negate: true },
    { field: "agentName", value: "a", negate: false },
  ]);
});

test("what is no filter of ours is left out of the request", () => {
  assert.equal(queryOf(parseView("?utm_source=x&verdict=&rule=!")), "from=-1h");
});

test("a value with reserved characters survives", () => {
  const view = addTerm(parseView(""), { field: "rule", value: "[2001:db8::/32]:443 & more=1", negate: true });
  assert.deepEqual(parseView(printView(view)), view);
});

test("the request always names its range, the tail never does", () => {
  assert.equal(queryOf(parseView("?verdict=drop"), { limit: "200" }), "verdict=drop&from=-1h&limit=200");
  assert.equal(streamQueryOf(parseView("?verdict=drop&from=-6h&order=asc")), "verdict=drop");
});

test("a bare value finds its field", () => {
  const fields: Record<string, string> = {
    "192.0.2.7": "dst", "10.0.0.0/8": "dst", "2001:db8::/32": "dst", "443": "port", "drop": "verdict", "egress": "direction", "udp": "protocol",
    "no_rule": "reason", "example.org": "host", "0.0.0.0/0:443/tcp": "rule", "build-agent-7": "agentName",
  };
  for (const [text, field] of Object.entries(fields)) assert.equal(parseTerm(text).field, field, text);
});

test("field:value and field=value name the field, ! turns it round", () => {
  assert.deepEqual(parseTerm("agent:drop"), { field: "agentName", value: "drop", negate: false });
  assert.deepEqual(parseTerm("!port=443"), { field: "port", value: "443", negate: true });
  assert.deepEqual(parseTerm("host:!example.org"), { field: "host", value: "example.org", negate: true });
  assert.deepEqual(parseTerm("source != 10.0.0.1"), { field: "src", value: "10.0.0.1", negate: true });
});

test("an IPv6 network is no field:value", () => {
  assert.deepEqual(parseTerm("fe80::1"), { field: "dst", value: "fe80::1", negate: false });
});

test("a value that its field cannot have is refused with the reason", () => {
  assert.throws(() => parseTerm("dst:example.org"), /no address or network/);
  assert.throws(() => parseTerm("port:99999"), /no port/);
  assert.throws(() => parseTerm("verdict:maybe"), /allow, drop/);
  assert.throws(() => parseTerm("!"), /type a value/);
});

test("one value of a field takes the place of the others", () => {
  const view = setField(parseView("?verdict=allow&port=1"), "verdict", "drop");
  assert.equal(printView(view), "?port=1&verdict=drop");
  assert.equal(printView(setField(view, "verdict", "")), "?port=1");
});

test("a range is relative to now or fixed", () => {
  const now = Date.parse("2026-01-02T03:00:00Z");
  assert.deepEqual(rangeOf(parseView(""), now), { from: now - 3_600_000, to: now });
  assert.deepEqual(rangeOf(parseView("?from=-7d"), now), { from: now - 604_800_000, to: now });
  const fixed = rangeOf(parseView("?from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z"), now);
  assert.equal(fixed.to - fixed.from, 3_600_000);
});

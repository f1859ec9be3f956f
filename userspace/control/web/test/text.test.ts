import assert from "node:assert/strict";
import { test } from "node:test";
import { hostNetwork, isNetwork } from "../src/lib/cidr.ts";
import { ago, bytes, duration, endpoint, parseTime, plural, rate, utcTime } from "../src/lib/format.ts";
import { parseRules, ruleChanges, ruleError } from "../src/lib/rule.ts";

test("bytes have three digits and the next unit before four", () => {
  const cases: [number, string][] = [[0, "0 B"], [999, "999 B"], [1000, "1.00 kB"], [1536, "1.54 kB"], [999_499, "999 kB"], [999_500, "1.00 MB"], [23_400_000, "23.4 MB"], [5e15, "5.00 PB"]];
  for (const [value, text] of cases) assert.equal(bytes(value), text);
});

test("durations", () => {
  const cases: [number, string][] = [[0, "0 ms"], [250, "250 ms"], [1500, "1.5 s"], [59_400, "59 s"], [125_000, "2 m 05 s"], [11_400_000, "3 h 10 m"], [187_200_000, "2 d 4 h"]];
  for (const [value, text] of cases) assert.equal(duration(value), text);
});

test("times since, also from a clock that is ahead", () => {
  const now = 1_000_000_000;
  assert.equal(ago(now - 1000, now), "just now");
  assert.equal(ago(now - 300_000, now), "5 m ago");
  assert.equal(ago(now + 120_000, now), "2 m ahead");
});

test("no time and Go's zero time are no time", () => {
  assert.equal(parseTime(""), undefined);
  assert.equal(parseTime("0001-01-01T00:00:00Z"), undefined);
  assert.equal(parseTime("2026-01-01T00:00:00.123456789Z"), Date.parse("2026-01-01T00:00:00.123Z"));
  assert.equal(utcTime("2026-01-01T00:00:00.123456789Z"), "2026-01-01 00:00:00.123456789 UTC");
});

test("counts agree with their nouns, rates stay short", () => {
  assert.equal(plural(1, "flow"), "1 flow");
  assert.equal(plural(1234, "flow"), "1,234 flows");
  assert.deepEqual([rate(0), rate(0.42), rate(12.3), rate(20_400)], ["0", "0.4", "12", "20.4 k"]);
});

test("an endpoint brackets IPv6", () => {
  assert.equal(endpoint("192.0.2.7", 443), "192.0.2.7:443");
  assert.equal(endpoint("2001:db8::7", 443), "[2001:db8::7]:443");
  assert.equal(endpoint("192.0.2.7", 0), "192.0.2.7");
});

test("networks", () => {
  for (const good of ["10.0.0.0/8", "192.0.2.7", "0.0.0.0/0", "::/0", "::1", "2001:db8::/32", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1"]) {
    assert.ok(isNetwork(good), good);
  }
  for (const bad of ["", "10.0.0.0/33", "10.0.0", "256.0.0.1", "10.0.0.0/", "10.0.0.0/8/8", "01.2.3.4", "::/129", "1::2::3", "1:2:3", "g::", "example.org"]) {
    assert.ok(!isNetwork(bad), bad);
  }
  assert.equal(hostNetwork("192.0.2.7"), "192.0.2.7/32");
  assert.equal(hostNetwork("2001:db8::7"), "2001:db8::7/128");
  assert.equal(hostNetwork("10.0.0.0/8"), "10.0.0.0/8");
});

test("every form of a rule that userspace/policy documents is accepted", () => {
  const rules = ["10.42.0.10/32", "0.0.0.0/0:443", "10.0.0.0/8:22,8000-8100/tcp", "[2001:db8::/32]:443", "10.0.0.1", "10.0.0.0/8:*/udp", "10.0.0.0/8:icmp", "192.0.2.0/24/47", "10.0.0.1/tcp", "2001:db8::/32", "203.0.113.7/32:443/tcp"];
  for (const rule of rules) assert.equal(ruleError(rule), "", rule);
});

test("a rule that is wrong says where", () => {
  const cases: [string, RegExp][] = [
    ["10.0.0.0/40", /no IPv4 or IPv6 network/], ["10.0.0.0/8:70000", /port range/], ["10.0.0.0/8:9-1", /port range/], ["10.0.0.0/8:web", /no port/],
    ["10.0.0.0/8:443/tls", /no protocol/], ["10.0.0.0/8:443/300", /no protocol/], ["[::1:443", /network|expected/], ["", /nothing/], ["example.org:443", /network/],
  ];
  for (const [rule, pattern] of cases) assert.match(ruleError(rule), pattern);
});

test("a list of rules skips comments and names the line of an error", () => {
  const parsed = parseRules("# web\n0.0.0.0/0:443 # all\n\n10.0.0.0/99\n");
  assert.deepEqual(parsed.rules, ["0.0.0.0/0:443", "10.0.0.0/99"]);
  assert.equal(parsed.errors.length, 1);
  assert.match(parsed.errors[0] ?? "", /^line 4: /);
});

test("changes of a policy are added, removed and kept rules", () => {
  assert.deepEqual(ruleChanges(["a", "b"], ["b", "c"]), [{ rule: "b", change: "kept" }, { rule: "c", change: "added" }, { rule: "a", change: "removed" }]);
});

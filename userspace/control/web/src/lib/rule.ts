// Egress rules as text, CIDR[:PORTS][/PROTO], as userspace/policy parses them:
//   10.42.0.10/32   0.0.0.0/0:443   10.0.0.0/8:22,8000-8100/tcp   [2001:db8::/32]:443   10.0.0.0/8:icmp
// Checked here so that a typing error shows beside its line; the server decides.
import { isIPv4, isNetwork } from "./cidr.ts";

const PROTOCOL = /^(tcp|udp|icmp|icmpv6|igmp|ipip|ipv6|gre|esp|ah|sctp|\d{1,3})$/;

// What is wrong with the rule, or "".
export function ruleError(text: string): string {
  const rule = text.trim();
  const split = rule.startsWith("[") ? splitBracketed(rule) : splitPlain(rule);
  if (!split) return `expected CIDR[:PORTS][/PROTO], such as 10.42.0.10/32 or 0.0.0.0/0:443/tcp`;
  const [network, ports, protocol] = split;
  if (!isNetwork(network)) return `${network || "nothing"} is no IPv4 or IPv6 network`;
  if (protocol !== undefined && !isProtocol(protocol)) return `${protocol} is no protocol: tcp, udp, icmp or a number`;
  return ports === undefined ? "" : portsError(ports);
}

// Network, ports and protocol, or undefined where the brackets do not match.
type Parts = [string, string | undefined, string | undefined];

function splitBracketed(rule: string): Parts | undefined {
  const match = /^\[([^\]]*)\](?::([^/]*))?(?:\/(.*))?$/.exec(rule);
  return match ? [match[1] ?? "", match[2], match[3]] : undefined;
}

function splitPlain(rule: string): Parts | undefined {
  // An IPv6 network without brackets has no ports.
  const address = rule.split("/")[0] ?? "";
  if (address.includes(":") && !isIPv4(address.split(":")[0] ?? "")) {
    const [ip, length, protocol] = rule.split("/");
    return [length === undefined ? (ip ?? "") : `${ip}/${length}`, undefined, protocol];
  }
  const match = /^([^:]*)(?::([^/]*)(?:\/(.*))?)?$/.exec(rule);
  if (!match) return undefined;
  const words = (match[1] ?? "").split("/");
  if (match[2] !== undefined) return [match[1] ?? "", match[2], match[3]];
  // 10.0.0.0/8/tcp, 10.0.0.1/tcp: a protocol, and every port.
  if (words.length === 3) return [`${words[0]}/${words[1]}`, undefined, words[2]];
  if (words.length === 2 && !/^\d+$/.test(words[1] ?? "")) return [words[0] ?? "", undefined, words[1]];
  return [match[1] ?? "", undefined, undefined];
}

function isProtocol(text: string): boolean {
  return PROTOCOL.test(text) && (!/^\d/.test(text) || Number(text) <= 255);
}

function portsError(text: string): string {
  if (text === "*" || text === "icmp") return "";
  for (const part of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (!match) return `${part || "nothing"} is no port: a number, FIRST-LAST, or * for all`;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first < 1 || last > 65_535 || first > last) return `${part} is no port range within 1-65535`;
  }
  return "";
}

// One rule a line; blank lines and # comments are left out.
export function parseRules(text: string): { rules: string[]; errors: string[] } {
  const rules: string[] = [];
  const errors: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const rule = line.replace(/#.*/, "").trim();
    if (rule === "") continue;
    const error = ruleError(rule);
    if (error) errors.push(`line ${index + 1}: ${error}`);
    rules.push(rule);
  }
  return { rules, errors };
}

export interface RuleChange {
  rule: string;
  change: "kept" | "added" | "removed";
}

// What a new list does to the old one, in the order of the new one, removed rules last.
export function ruleChanges(before: string[], after: string[]): RuleChange[] {
  const changes: RuleChange[] = after.map((rule) => ({ rule, change: before.includes(rule) ? "kept" : "added" }));
  for (const rule of before) {
    if (!after.includes(rule)) changes.push({ rule, change: "removed" });
  }
  return changes;
}

// Links from one view into another.
import { hostNetwork } from "./cidr.ts";
import { printView, type Term, type View } from "./filter.ts";
import { parseTime } from "./format.ts";
import type { FlowEvent, Hint } from "./types.ts";

const is = (field: string, value: string | number | undefined): Term[] =>
  value === undefined || value === "" || value === 0 ? [] : [{ field, value: String(value), negate: false }];

export function flowsLink(terms: Term[], range: Pick<View, "from" | "to">): string {
  return `/flows${printView({ terms, from: range.from, to: range.to, order: "desc" })}`;
}

// All records of one flow: its addresses, ports and protocol, from its start on.
export function sameFlowLink(event: FlowEvent): string {
  const start = parseTime(event.start) ?? parseTime(event.ts);
  const terms = [
    ...is("agentName", event.agentId),
    ...is("src", event.srcIp && hostNetwork(event.srcIp)),
    ...is("dst", event.dstIp && hostNetwork(event.dstIp)),
    ...is("port", event.dstPort),
    ...is("protocol", event.protocol),
  ];
  return flowsLink(terms, { from: start === undefined ? "" : new Date(start - 1000).toISOString(), to: "" });
}

export function attemptsLink(hint: Hint, range: Pick<View, "from" | "to">): string {
  const terms = [
    ...is("agentName", hint.agentId),
    ...is("dst", hint.dstIp && hostNetwork(hint.dstIp)),
    ...is("port", hint.dstPort),
    ...is("protocol", hint.protocol),
    ...is("verdict", "drop"),
  ];
  return flowsLink(terms, range);
}

export function topLink(by: "dst" | "agentName" | "port" | "rule", key: string, denied: boolean, range: Pick<View, "from" | "to">): string {
  const value = by === "dst" ? hostNetwork(key) : key;
  return flowsLink([...is(by, value), ...(denied ? is("verdict", "drop") : [])], range);
}

// The filters of a view: the same names and form as the API's query, so that the page's URL, the request and an export
// are one text. Repeat is OR, a leading "!" is NOT.
import { isNetwork } from "./cidr.ts";

export interface Field {
  name: string; // in the URL and the API
  label: string;
  // Words that a bare `label:value` may begin with, besides name and label.
  aliases?: string[];
  values?: string[];
  hint: string;
}

const REASONS = [
  "no_rule", "deny_rule", "no_policy", "flow_table_full", "not_ip", "malformed", "source_route", "extension_header",
  "fragment_unknown", "fragment_tiny", "fragment_overlap", "internal", "allow_rule", "default_allow", "reply", "icmp_error",
  "fragment", "neighbour", "loopback", "untracked", "connect_refused", "connect_timeout", "unreachable", "name_not_found",
  "network_error",
];

export const FIELDS: Field[] = [
  { name: "agentName", label: "agent", aliases: ["agentid"], hint: "build-agent-7" },
  { name: "verdict", label: "verdict", values: ["allow", "drop"], hint: "allow or drop" },
  { name: "direction", label: "direction", values: ["egress", "ingress"], hint: "egress or ingress" },
  { name: "protocol", label: "protocol", aliases: ["proto"], values: ["tcp", "udp", "icmp", "icmpv6"], hint: "tcp" },
  { name: "dst", label: "destination", aliases: ["to_ip"], hint: "10.0.0.0/8" },
  { name: "src", label: "source", hint: "10.42.0.2/32" },
  { name: "port", label: "port", hint: "443" },
  { name: "rule", label: "rule", hint: "0.0.0.0/0:443/tcp" },
  { name: "event", label: "event", values: ["start", "update", "end", "denied", "policy", "loss", "flow"], hint: "denied" },
  { name: "host", label: "host", hint: "example.org" },
  { name: "reason", label: "reason", values: REASONS, hint: "no_rule" },
  { name: "traceId", label: "trace", hint: "a trace id" },
  { name: "node", label: "node", hint: "node-1" },
];

const FIELD_NAMES = new Set(FIELDS.map((field) => field.name));

export interface Term {
  field: string;
  value: string;
  negate: boolean;
}

export interface View {
  terms: Term[];
  from: string; // "-1h" or RFC 3339; empty: the default
  to: string; // empty: now
  order: "desc" | "asc";
}

export const DEFAULT_FROM = "-1h";

export function parseView(search: string): View {
  const parameters = new URLSearchParams(search);
  const terms: Term[] = [];
  for (const [key, raw] of parameters) {
    const field = key === "agentId" ? "agentName" : key;
    if (!FIELD_NAMES.has(field) || raw === "" || raw === "!") continue;
    const negate = raw.startsWith("!");
    terms.push({ field, value: negate ? raw.slice(1) : raw, negate });
  }
  return {
    terms,
    from: parameters.get("from") ?? "",
    to: parameters.get("to") ?? "",
    order: parameters.get("order") === "asc" ? "asc" : "desc",
  };
}

// The page's URL: what is the default is left out.
export function printView(view: View): string {
  const parameters = termParameters(view.terms);
  if (view.from && view.from !== DEFAULT_FROM) parameters.append("from", view.from);
  if (view.to) parameters.append("to", view.to);
  if (view.order === "asc") parameters.append("order", "asc");
  const text = parameters.toString();
  return text ? `?${text}` : "";
}

// The request: the range is always there.
export function queryOf(view: View, extra: Record<string, string> = {}): string {
  const parameters = termParameters(view.terms);
  parameters.append("from", view.from || DEFAULT_FROM);
  if (view.to) parameters.append("to", view.to);
  if (view.order === "asc") parameters.append("order", "asc");
  for (const [key, value] of Object.entries(extra)) parameters.append(key, value);
  return parameters.toString();
}

// The live tail has no range.
export function streamQueryOf(view: View): string {
  return termParameters(view.terms).toString();
}

function termParameters(terms: Term[]): URLSearchParams {
  const parameters = new URLSearchParams();
  for (const term of terms) parameters.append(term.field, (term.negate ? "!" : "") + term.value);
  return parameters;
}

export function addTerm(view: View, term: Term): View {
  const rest = view.terms.filter((other) => other.field !== term.field || other.value !== term.value);
  return { ...view, terms: [...rest, term] };
}

export function removeTerm(view: View, index: number): View {
  return { ...view, terms: view.terms.filter((_, place) => place !== index) };
}

// Puts one value in the place of all of the field; "" takes them away.
export function setField(view: View, field: string, value: string): View {
  const terms = view.terms.filter((term) => term.field !== field);
  return { ...view, terms: value ? [...terms, { field, value, negate: false }] : terms };
}

export function fieldOf(name: string): Field | undefined {
  const word = name.toLowerCase();
  return FIELDS.find((field) => field.name.toLowerCase() === word || field.label === word || field.aliases?.includes(word));
}

// What somebody typed: "verdict:drop", "!port=443", or a bare value whose field is guessed. An Error says what is wrong.
export function parseTerm(text: string, chosen = ""): Term {
  let rest = text.trim();
  let negate = false;
  if (rest.startsWith("!")) {
    negate = true;
    rest = rest.slice(1).trim();
  }
  const named = /^([A-Za-z_]+)\s*(!?)[=:]\s*(!?)(.+)$/.exec(rest);
  const field = named ? fieldOf(named[1] ?? "") : undefined;
  let name = chosen;
  let value = rest;
  if (named && field) {
    name = field.name;
    value = (named[4] ?? "").trim();
    if (named[2] || named[3]) negate = true;
  } else if (!name) {
    name = guessField(rest);
  }
  if (value === "") throw new Error("type a value first");
  const error = valueError(name, value);
  if (error) throw new Error(error);
  return { field: name, value, negate };
}

function guessField(value: string): string {
  if (isNetwork(value)) return "dst";
  if (/^\d{1,5}$/.test(value)) return "port";
  const known = FIELDS.find((field) => field.values?.includes(value));
  if (known) return known.name;
  // A rule has a network and more; a name with a dot is a host.
  if (/^[\d.]+\/\d+[:/]/.test(value) || value.startsWith("[")) return "rule";
  if (/^[^/\s]+\.[A-Za-z]{2,}$/.test(value)) return "host";
  return "agentName";
}

function valueError(field: string, value: string): string {
  if ((field === "dst" || field === "src") && !isNetwork(value)) return `${value} is no address or network such as 10.0.0.0/8`;
  if (field === "port" && !(/^\d{1,5}$/.test(value) && Number(value) <= 65_535)) return `${value} is no port`;
  const values = FIELDS.find((other) => other.name === field)?.values;
  if (values && field !== "protocol" && field !== "reason" && !values.includes(value)) {
    return `${value} is none of ${values.join(", ")}`;
  }
  return "";
}

export interface Range {
  from: string;
  label: string;
  seconds: number;
}

export const RANGES: Range[] = [
  { from: "-15m", label: "15 m", seconds: 900 },
  { from: "-1h", label: "1 h", seconds: 3600 },
  { from: "-6h", label: "6 h", seconds: 21_600 },
  { from: "-24h", label: "24 h", seconds: 86_400 },
  { from: "-7d", label: "7 d", seconds: 604_800 },
];

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

// Both ends in milliseconds.
export function rangeOf(view: View, now: number): { from: number; to: number } {
  const to = pointInTime(view.to, now) ?? now;
  const from = pointInTime(view.from || DEFAULT_FROM, now) ?? now - 3_600_000;
  return { from, to };
}

function pointInTime(text: string, now: number): number | undefined {
  const relative = /^-(\d+)([smhd])$/.exec(text);
  if (relative) return now - Number(relative[1]) * (SECONDS[relative[2] ?? "s"] ?? 1) * 1000;
  const value = text ? Date.parse(text) : Number.NaN;
  return Number.isNaN(value) ? undefined : value;
}

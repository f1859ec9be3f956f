// What the record's words mean, for somebody who did not write them.

const REASONS: Record<string, string> = {
  allow_rule: "a rule allows it",
  default_allow: "nothing denies it and the default is to allow",
  reply: "the answer to an allowed flow",
  icmp_error: "an ICMP error about an allowed flow",
  fragment: "a later fragment of an allowed packet",
  neighbour: "neighbour discovery, which is always allowed",
  loopback: "traffic of the host with itself",
  untracked: "passed without a record of its own because the flow table was full",
  no_rule: "no rule allows this destination, and the default is to deny",
  deny_rule: "a deny rule names this destination; deny rules win over allow rules",
  flow_table_full: "the flow table was full: raise the limit on the node",
  no_policy: "the node had no policy loaded yet",
  not_ip: "not an IP packet",
  malformed: "the packet's headers are broken",
  source_route: "the packet carries a source route",
  extension_header: "an IPv6 extension header that hides the ports",
  fragment_unknown: "a fragment whose first part was not seen, so its port is not known",
  fragment_tiny: "a first fragment too small to hold the ports",
  fragment_overlap: "fragments that overlap, a way to hide ports",
  internal: "an internal error of the data plane: report it",
  connect_refused: "allowed, but the destination refused the connection",
  connect_timeout: "allowed, but the destination did not answer in time",
  unreachable: "allowed, but the network has no way to the destination",
  name_not_found: "the host name has no address",
  network_error: "allowed, but the network failed",
};

const EVENTS: Record<string, string> = {
  start: "began",
  update: "went on",
  end: "ended",
  denied: "denied",
  policy: "policy changed",
  loss: "records lost",
  flow: "flow",
};

const ENDS: Record<string, string> = {
  fin: "closed by both sides",
  rst: "reset",
  idle: "no packets for a while",
  revoked: "a new policy no longer allows it",
  shutdown: "the data plane stopped",
  failed: "the connection failed",
};

const STAGES: Record<string, string> = {
  denied_table: "denied attempts that found their table full",
  untracked: "packets passed while the flow table was full",
  disk: "dropped while the disk was full",
  partial_line: "a half-written line, cut at the start",
  truncated: "somebody truncated the live audit file",
  deleted: "somebody deleted the live audit file",
  damaged: "the end of the audit file can't be read",
  seq_hole: "given out before and no longer in the file",
  spool_cap: "deleted before they were published: the spool was over its size",
  unpublishable: "in the file, but NATS can't have them",
  detached: "in the kernel when the programs were taken away",
  segment_missing: "an audit file was gone before it was published",
};

export const reasonText = (reason: string | undefined): string => (reason ? (REASONS[reason] ?? "") : "");
export const eventText = (event: string | undefined): string => (event ? (EVENTS[event] ?? event) : "");
export const endText = (reason: string | undefined): string => (reason ? (ENDS[reason] ?? "") : "");
export const stageText = (stage: string | undefined): string => (stage ? (STAGES[stage] ?? stage) : "");

// Denied for a reason that another rule would have changed.
export const isFixable = (reason: string | undefined): boolean => reason === "no_rule" || reason === undefined;

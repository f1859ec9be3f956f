// What the API answers, see /openapi.json. A key that the server leaves out is empty or 0.

export interface FlowEvent {
  id?: string;
  eventId: string;
  ts: string;
  event: string;
  agentId?: string;
  traceId?: string;
  node?: string;
  seq?: number;
  direction?: string;
  verdict?: string;
  reason?: string;
  rule?: string;
  srcIp?: string;
  srcPort?: number;
  dstIp?: string;
  dstPort?: number;
  protocol?: string;
  iface?: string;
  scope?: string;
  mode?: string;
  bytes?: number;
  bytesOut?: number;
  bytesIn?: number;
  packetsOut?: number;
  packetsIn?: number;
  start?: string;
  durationMs?: number;
  endReason?: string;
  policyGeneration?: number;
  flowId?: string;
  host?: string;
  cgroup?: string;
  pid?: number;
  comm?: string;
  // Of a loss event.
  stage?: string;
  count?: number;
  from?: string;
  to?: string;
  firstSeq?: number;
  lastSeq?: number;
  lostBoot?: string;
}

export interface FlowPage {
  list: FlowEvent[];
  nextCursor: string;
  watermark: string;
  gaps: number;
  lost: number;
}

export interface TimelinePoint {
  ts: string;
  allowed: number;
  denied: number;
  bytes: number;
}

export interface Timeline {
  points: TimelinePoint[];
  bucketSeconds: number;
}

export interface TopEntry {
  key: string;
  bytes: number;
  flows: number;
  denied: number;
}

export interface Hint {
  agentId: string;
  dstIp: string;
  dstPort?: number;
  protocol?: string;
  host?: string;
  reason?: string;
  attempts: number;
  last: string;
  rule?: string;
}

export interface Completeness {
  watermark: string;
  gaps: number;
  lost: number;
}

export interface Agent {
  name: string;
  lastSeen?: string;
  flows?: number;
  denied?: number;
  bytes?: number;
  address?: string;
  status?: string;
  publicKey?: string;
  endpoint?: string;
  platform?: string;
  hostname?: string;
  enrolledAt?: string;
  lastHeartbeat?: string;
}

export interface Overview {
  timeline: Timeline;
  rate: { perSecond: number };
  topDestinations: TopEntry[];
  topDenied: TopEntry[];
  agents: Agent[];
  completeness: Completeness;
}

export interface Policy {
  rules: string[];
  version: number;
}

export interface Source {
  node: string;
  boot: string;
  agentId?: string;
  firstSeq: number;
  lastSeq: number;
  lastTs?: string;
  lastSeen?: string;
  stored: number;
  missing: number;
  lost: number;
  head?: { seq: number; h: string; ts: string } | null;
}

export interface Gap {
  node: string;
  boot: string;
  firstSeq: number;
  lastSeq: number;
  found?: string;
  explainedBy?: string;
}

export interface Digest {
  node: string;
  boot: string;
  seq: number;
  h: string;
  ts?: string;
  digest?: string;
  signature?: string;
  publicKey?: string;
  signatureValid?: boolean;
}

export interface Reject {
  reason: string;
  detail?: string;
  subject?: string;
  payload?: string;
  streamSeq?: number;
  ts?: string;
}

export interface Session {
  user: string;
  role: string;
}

/* The contract between bpf/ and userspace/: every map value, key and ring
 * record that both sides read.
 *
 * Fixed-width types only, no implicit padding, plain C that compiles for the
 * BPF target and as C++. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d (the
 * one exception is lat_flow4_key, which is compact because its hash is the hot
 * path). Ports are in host byte order so that `bpftool map dump` reads as
 * words. Any change of layout or meaning bumps LATTICE_ABI_VERSION: pins of
 * another version are refused, never reused.
 */
#ifndef LATTICE_ABI_H_
#define LATTICE_ABI_H_

#include <linux/types.h>

#define LATTICE_ABI_VERSION 1

#ifdef __cplusplus
#define LATTICE_ASSERT(cond, text) static_assert(cond, text)
#else
#define LATTICE_ASSERT(cond, text) _Static_assert(cond, text)
#endif

typedef __u8 lat_u8;
typedef __u16 lat_u16;
typedef __u32 lat_u32;
typedef __u64 lat_u64;

enum lat_direction { LAT_EGRESS = 0, LAT_INGRESS = 1 };

/* What a hook sees: all that crosses one interface, or all that the processes
 * of a cgroup send and receive on every interface. */
enum lat_scope { LAT_SCOPE_IFACE = 0, LAT_SCOPE_CGROUP = 1 };

/* scope * 2 + direction; index of the `hook_stats` map. */
enum lat_hook {
  LAT_HOOK_TC_EGRESS = 0,
  LAT_HOOK_TC_INGRESS = 1,
  LAT_HOOK_CGROUP_EGRESS = 2,
  LAT_HOOK_CGROUP_INGRESS = 3,
  LAT_HOOK_COUNT = 4,
};

enum lat_mode { LAT_MODE_ENFORCE = 0, LAT_MODE_AUDIT = 1 };

enum lat_verdict {
  LAT_ALLOW = 0,
  LAT_DENY = 1,  /* dropped */
  LAT_AUDIT = 2, /* the policy denies it, audit mode let it pass */
  LAT_VERDICT_COUNT = 3,
};

/* Why a packet or a flow got its verdict. Names in records and metrics are
 * these in lower case without the prefix (flow::ReasonName). */
enum lat_reason {
  LAT_REASON_NONE = 0,
  /* allowed */
  LAT_REASON_ALLOW_RULE,
  LAT_REASON_DEFAULT_ALLOW,
  LAT_REASON_REPLY,      /* answers what audit mode let pass: enforcement would not see it */
  LAT_REASON_ICMP_ERROR, /* quotes an allowed flow */
  LAT_REASON_FRAGMENT,   /* later fragment of an allowed datagram */
  LAT_REASON_NEIGHBOUR,  /* ARP or IPv6 neighbour discovery, L2 devices only */
  LAT_REASON_LOOPBACK,   /* cgroup scope, loopback device */
  LAT_REASON_UNTRACKED,  /* flow table full, --on-table-full=allow */
  /* denied by policy */
  LAT_REASON_NO_RULE, /* default deny */
  LAT_REASON_DENY_RULE,
  LAT_REASON_FLOW_TABLE_FULL,
  LAT_REASON_NO_POLICY, /* no policy is published: fail closed */
  /* denied because the packet can't be judged */
  LAT_REASON_NOT_IP,
  LAT_REASON_MALFORMED,
  LAT_REASON_SOURCE_ROUTE,     /* IPv4 LSRR/SSRR, IPv6 routing header with segments left */
  LAT_REASON_EXTENSION_HEADER, /* unknown, or more than LAT_MAX_EXTENSION_HEADERS */
  LAT_REASON_FRAGMENT_UNKNOWN, /* later fragment, first one not seen or not allowed */
  LAT_REASON_FRAGMENT_TINY,    /* RFC 1858, RFC 3128 */
  LAT_REASON_FRAGMENT_OVERLAP,
  LAT_REASON_INTERNAL, /* a map or helper failed: see map_errors */
  LAT_REASON_COUNT,
};

enum lat_event {
  LAT_EVENT_START = 1,
  LAT_EVENT_UPDATE = 2,
  LAT_EVENT_END = 3,
  LAT_EVENT_DENIED = 4,
};

enum lat_end_reason {
  LAT_END_NONE = 0,
  LAT_END_FIN,
  LAT_END_RST,
  LAT_END_IDLE,
  LAT_END_REVOKED,
  LAT_END_SHUTDOWN, /* the sweep was told to end everything */
  LAT_END_COUNT,
};

#define LAT_MAX_EXTENSION_HEADERS 8

/* The identity of a flow is seen from this node: "local" is the source of an
 * egress packet and the destination of an ingress packet, so both directions
 * find one entry with one lookup. ICMP echo: local_port is the identifier and
 * remote_port the request's type (8 or 128) if the local side asks, 0 if the
 * remote side does: a ping from outside never lets requests out. Other ICMP
 * messages: local_port 0, remote_port LAT_ICMP_TYPE_PORT + type. */
#define LAT_ICMP_TYPE_PORT 256
struct lat_flow4_key {
  lat_u8 local[4];
  lat_u8 remote[4];
  lat_u16 local_port;
  lat_u16 remote_port;
  lat_u8 proto;
  lat_u8 scope; /* enum lat_scope */
  lat_u8 pad[2];
};
LATTICE_ASSERT(sizeof(struct lat_flow4_key) == 16, "flow4 key layout");

struct lat_flow6_key {
  lat_u8 local[16];
  lat_u8 remote[16];
  lat_u16 local_port;
  lat_u16 remote_port;
  lat_u8 proto;
  lat_u8 scope;
  lat_u8 pad[2];
};
LATTICE_ASSERT(sizeof(struct lat_flow6_key) == 40, "flow6 key layout");

enum lat_flow_flag {
  LAT_FLOW_REPORTED = 1, /* its start record is in the ring */
  /* Packets from outside on this entry give no right to answer: TCP that did
   * not begin with SYN, or the remains of a revoked flow. */
  LAT_FLOW_NO_REPLY = 2,
  /* No flow lives here, nothing is counted: readers skip the entry. It only
   * remembers NO_REPLY, or waits for the sweep. */
  LAT_FLOW_VACANT = 4,
  LAT_FLOW_REVOKED = 8, /* its end record is due: the ring was full when the policy revoked it */
};

/* `ended` of a flow: who changes more than its counters holds its claim. */
enum lat_claim {
  LAT_CLAIM_NONE = 0,
  LAT_CLAIM_HELD = 1,
  LAT_CLAIM_DYING = 2, /* the sweep is deleting the entry: nothing may be counted on it any more */
};

/* Indexes [2] are enum lat_direction. wire packets = packets + gso_extra. */
struct lat_flow {
  lat_u64 packets[2];
  lat_u64 gso_extra[2];
  lat_u64 bytes[2];
  lat_u64 start_ns; /* CLOCK_MONOTONIC; with the key, the flow's identity */
  lat_u64 last_seen_jiffies;
  lat_u64 last_report_jiffies;
  lat_u64 cgroup_id;           /* 0 where unknown */
  lat_u32 generation;          /* of the policy that gave `verdict` */
  lat_u32 rule;                /* rule slot + 1; 0: no rule */
  enum lat_verdict verdict[2]; /* LAT_ALLOW: passes under `generation`; otherwise the policy is asked */
  enum lat_reason reason;
  enum lat_direction started_by;
  lat_u32 tcp_flags[2]; /* all seen, by direction */
  lat_u32 flags;        /* enum lat_flow_flag */
  lat_u32 ended;        /* enum lat_claim */
};
LATTICE_ASSERT(sizeof(struct lat_flow) == 120, "flow layout");

/* Denied attempts have their own bounded table, so a scan can push out neither
 * live flows nor their records. The key leaves out the port that scans vary. */
struct lat_denied_key {
  lat_u8 local[16];
  lat_u8 remote[16];
  lat_u16 port; /* judged: remote for egress, local for ingress; 0: none */
  lat_u8 proto;
  lat_u8 scope;
  lat_u8 direction;
  lat_u8 reason; /* enum lat_reason */
  lat_u8 pad[2];
};
LATTICE_ASSERT(sizeof(struct lat_denied_key) == 40, "denied key layout");

#define LAT_DENIED_GONE (1ull << 63)
struct lat_denied {
  lat_u64 packets; /* with LAT_DENIED_GONE: the sweep is deleting the entry */
  lat_u64 wire_packets;
  lat_u64 bytes;
  lat_u64 reported_packets; /* of the three above, how much is in the ring */
  lat_u64 reported_wire_packets;
  lat_u64 reported_bytes;
  lat_u64 first_ns;
  lat_u64 last_seen_jiffies;
  lat_u64 last_report_jiffies;
  lat_u64 cgroup_id;
  lat_u32 generation;
  lat_u32 rule;
  enum lat_verdict verdict;
  lat_u16 other_port; /* of the first packet */
  lat_u16 pad;
};
LATTICE_ASSERT(sizeof(struct lat_denied) == 96, "denied layout");

/* Map `audited`: five-tuples whose egress packets audit mode let pass though the
 * policy denies them. An answer to one gives this node no right to go on. */
struct lat_audited {
  lat_u64 seen_jiffies;
};

/* A datagram whose first fragment was allowed: its later fragments, which have
 * no ports, belong to the flow with these ports. */
struct lat_fragment_key {
  lat_u8 local[16];
  lat_u8 remote[16];
  lat_u32 id;
  lat_u8 proto; /* IPv4 only: IPv6 reassembles by addresses and id */
  lat_u8 scope;
  lat_u8 direction;
  lat_u8 pad;
};
LATTICE_ASSERT(sizeof(struct lat_fragment_key) == 40, "fragment key layout");

struct lat_fragment {
  lat_u64 seen_jiffies;
  lat_u32 generation;
  lat_u16 local_port;
  lat_u16 remote_port;
  lat_u16 header_bytes; /* of the fragmentable part: no later fragment may begin before its end */
  lat_u8 proto;         /* upper-layer protocol */
  lat_u8 untracked;     /* the flow table was full: no entry to count on */
  lat_u8 pad[4];
};
LATTICE_ASSERT(sizeof(struct lat_fragment) == 24, "fragment layout");

/* One ring record. Flow events carry totals since start; a denied event what
 * came since the record before it, so that sums over records are totals. */
struct lat_record {
  lat_u64 time_ns; /* CLOCK_MONOTONIC */
  lat_u64 start_ns;
  lat_u64 idle_ns; /* time_ns - idle_ns: last packet, jiffy resolution */
  lat_u64 packets[2];
  lat_u64 wire_packets[2];
  lat_u64 bytes[2];
  lat_u64 cgroup_id;
  lat_u32 generation;
  lat_u32 rule; /* rule slot + 1; 0: none */
  enum lat_event event;
  enum lat_verdict verdict;
  enum lat_reason reason;
  enum lat_end_reason end_reason;
  enum lat_direction direction; /* of the first packet */
  enum lat_scope scope;
  lat_u8 local[16];
  lat_u8 remote[16];
  lat_u16 local_port;
  lat_u16 remote_port;
  lat_u8 proto;
  lat_u8 tcp_flags[2];
  lat_u8 pad;
};
LATTICE_ASSERT(sizeof(struct lat_record) == 152, "record layout");

struct lat_counters {
  lat_u64 packets;
  lat_u64 wire_packets;
  lat_u64 bytes;
};

/* Per-CPU array `hook_stats`, index enum lat_hook. */
struct lat_hook_stats {
  struct lat_counters verdict[LAT_VERDICT_COUNT];
};

/* Per-CPU array `reason_stats`, index hook * LAT_REASON_COUNT + reason: packets.
 * Denied and audited packets are all here; of the allowed only those that no
 * flow entry counts (neighbour, loopback, untracked). */

/* Per-CPU array `events`, index below: how often. */
enum lat_counter {
  LAT_COUNT_FLOWS_STARTED = 0,
  LAT_COUNT_FLOWS_ENDED,                                            /* + enum lat_end_reason, LAT_END_COUNT of them */
  LAT_COUNT_FLOW_RING_FULL = LAT_COUNT_FLOWS_ENDED + LAT_END_COUNT, /* told later by the sweep */
  LAT_COUNT_DENIED_RING_FULL,                                       /* told later by the sweep */
  LAT_COUNT_FLOW_TABLE_FULL,
  LAT_COUNT_DENIED_TABLE_FULL, /* attempts that no record names: told in a loss record */
  LAT_COUNT_UNTRACKED_PACKETS,
  LAT_COUNT_UNTRACKED_BYTES,
  LAT_COUNT_COUNT,
};

/* Per-CPU array `map_errors`, index map * LAT_ERRNO_COUNT + errno class. */
enum lat_map { LAT_MAP_FLOWS4 = 0, LAT_MAP_FLOWS6, LAT_MAP_DENIED, LAT_MAP_FRAGMENTS, LAT_MAP_AUDITED, LAT_MAP_COUNT };
enum lat_errno {
  LAT_ERRNO_E2BIG = 0,
  LAT_ERRNO_ENOMEM,
  LAT_ERRNO_EBUSY,
  LAT_ERRNO_EEXIST,
  LAT_ERRNO_OTHER,
  LAT_ERRNO_COUNT
};

/* Read-only constants, set before load; a restart with other flags loads new
 * programs over the same maps. */
struct lat_config {
  lat_u64 ns_per_jiffy;
  lat_u64 idle_jiffies;
  lat_u64 tcp_idle_jiffies; /* TCP with SYN seen both ways */
  lat_u64 linger_jiffies;   /* after FIN both ways or RST, before the entry goes */
  lat_u64 active_jiffies;   /* between update records */
  lat_u64 denied_jiffies;   /* between denied records of one attempt */
  lat_u64 fragment_jiffies;
  lat_u64 margin_jiffies;   /* longer than a program runs, however long its CPU is kept from it */
  lat_u32 l2_bytes;         /* in front of the IP header at the tc hooks: 0 on wg0, 14 on Ethernet */
  lat_u32 table_full_allow; /* --on-table-full=allow */
  lat_u32 loopback_allow;   /* cgroup scope */
  lat_u32 pad;
};

/* The `info` map (section .data.info), one entry, pinned: what is enforced, for
 * the programs and for operators. Storing `generation` is the one store that
 * publishes a policy: its tables are in slot generation & 1 of the outer maps
 * `policy`, `lpm4`, `lpm6`. 0: none published, everything is denied. */
struct lat_info {
  lat_u32 abi_version;
  lat_u32 generation;
  enum lat_mode mode;
  lat_u32 rules;
  lat_u32 ifindex;
  lat_u32 max_flows;    /* per address family */
  lat_u64 next_seq;     /* first audit sequence number not yet given out this boot */
  lat_u64 netns_cookie; /* SO_NETNS_COOKIE of the namespace `iface` is in */
  char iface[16];
  char version[32];
  char policy_hash[72]; /* hex SHA-256 of the printed policy */
};

/* Map `rules`: slot -> what the operator wrote; an empty name means that the text is
 * the name. Hits are in `rule_hits`, index slot. Slots for two whole policies: a
 * replaced rule keeps its slot until no record names it. */
#define LAT_MAX_RULES 131072
#define LAT_RULE_SLOTS (2 * LAT_MAX_RULES)
struct lat_rule_text {
  char name[48];
  char text[80];
};

/* Argument and answer of the syscall program `lat_sweep`, which writes every
 * record that is due and deletes what has ended. more: a ring was full, drain
 * and call again. end_all: end every flow now (detach). flush_denied: what
 * denied attempts counted is due now (stop, change of mode). No pin holds this
 * struct, so it is no part of LATTICE_ABI_VERSION. */
struct lat_sweep {
  lat_u32 end_all;
  lat_u32 flush_denied;
  lat_u32 more;
  lat_u32 flows4;
  lat_u32 flows6;
  lat_u32 denied;
  lat_u32 ended;
  lat_u32 pad;
  lat_u64 now_jiffies; /* a pair taken together, for whoever reads jiffies */
  lat_u64 now_ns;
};

#endif /* LATTICE_ABI_H_ */

/* Writes flow records into a ring as fast as a CPU can: the load of
 * ring_to_file_bench. The map is replaced by the data plane's own `flow_ring`. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include <lattice/abi.h>

char LICENSE[] SEC("license") = "GPL";

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} flow_ring SEC(".maps");

struct produce {
  lat_u64 first;   /* in: number of the first record, which makes it unlike all others */
  lat_u32 records; /* in: how many at most */
  lat_u32 written; /* out: fewer where the ring was full */
};

SEC("syscall")
int produce(struct produce* argument) {
  lat_u64 first = argument->first;
  lat_u32 wanted = argument->records, written = 0;
  for (int i = 0; i < 4096 && written < wanted; i++) {
    struct lat_record* record = bpf_ringbuf_reserve(&flow_ring, sizeof(*record), 0);
    if (!record) break;
    __builtin_memset(record, 0, sizeof(*record));
    lat_u64 number = first + written;
    record->time_ns = bpf_ktime_get_ns();
    record->start_ns = number;
    record->packets[LAT_EGRESS] = record->wire_packets[LAT_EGRESS] = 10;
    record->bytes[LAT_EGRESS] = 8400;
    record->generation = 1;
    record->event = LAT_EVENT_END;
    record->reason = LAT_REASON_ALLOW_RULE;
    record->end_reason = LAT_END_FIN;
    record->local[10] = record->local[11] = record->remote[10] = record->remote[11] = 0xff;
    record->local[12] = 198;
    record->local[13] = 18;
    record->remote[12] = 192;
    record->remote[14] = 2;
    record->remote[15] = number;
    record->local_port = number >> 8;
    record->remote_port = 443;
    record->proto = 6;
    bpf_ringbuf_submit(record, 0);
    written++;
  }
  argument->written = written;
  return 0;
}

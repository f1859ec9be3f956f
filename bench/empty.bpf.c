/* What BPF_PROG_TEST_RUN costs by itself: the unit of every ratio. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tc")
int empty(struct __sk_buff* skb) {
  return -1;
}

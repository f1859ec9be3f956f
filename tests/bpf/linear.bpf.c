/* How many bytes of a packet direct access sees: proves that a test's packet is one
 * whose headers are not in the linear part. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u32 linear_bytes;
__u32 all_bytes;

SEC("tc")
int look(struct __sk_buff* skb) {
  linear_bytes = skb->data_end - skb->data;
  all_bytes = skb->len;
  return -1;
}

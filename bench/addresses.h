/* The destinations that benchmarked programs look up, one after the other, the same
 * for every program; written by userspace before the runs. */
#ifndef BENCH_ADDRESSES_H_
#define BENCH_ADDRESSES_H_

#include <linux/types.h>

#define BENCH_ADDRESSES 256

struct bench_addresses {
  __u8 v4[BENCH_ADDRESSES][4];
  __u8 v6[BENCH_ADDRESSES][16];
  __u32 next;
};

#endif /* BENCH_ADDRESSES_H_ */

/* How often something may happen: the generic cell rate algorithm (ITU-T I.371), one time for each bucket. */
#pragma once

#include "abi.h"

#define NS_PER_S 1000000000ull

enum rate_kind {
	RATE_STORM = 0,                 /* id: port */
	RATE_ICMP_ERROR = 1,            /* id: port */
	RATE_DROP_EVENT = 2,            /* id: reason */
	RATE_ACL_EVENT = 3,             /* id: 0 allowed, else denied */
};

struct rate_key {
	__u32 kind;
	__u32 id;
};

/* -> when the bucket will be full again (CLOCK_MONOTONIC) */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct rate_key);
	__type(value, __u64);
} hnv_rates_v1 SEC(".maps");

/* May `count` more happen now? A bucket holds what one second allows, and is full at first. Two CPUs that take at
 * the same moment may both succeed: the error is one for each CPU, and nobody waits. */
__noinline int rate_allows(__u32 kind, __u32 id, __u32 per_second, __u32 count)
{
	struct rate_key key = { .kind = kind, .id = id };
	__u64 now = bpf_ktime_get_ns(), none = 0, full_at, next;
	__u64 *bucket;

	if (!per_second)
		return 1;
	/* A super-packet that stands for more than the bucket holds takes all of it. */
	if (count > per_second)
		count = per_second;
	bucket = bpf_map_lookup_elem(&hnv_rates_v1, &key);
	if (!bucket) {
		bpf_map_update_elem(&hnv_rates_v1, &key, &none, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&hnv_rates_v1, &key);
		if (!bucket)
			return 1;
	}
	full_at = *bucket;
	next = (full_at > now ? full_at : now) + NS_PER_S / per_second * count;
	if (next > now + NS_PER_S)
		return 0;
	__sync_val_compare_and_swap(bucket, full_at, next);
	return 1;
}

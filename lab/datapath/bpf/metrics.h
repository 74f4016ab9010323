/* Counters by (reason, direction, VSID). */
#pragma once

#include "maps.h"

/* A super-packet counts as the packets that it stands for. */
static __always_inline void metrics_add(const struct __sk_buff *skb, enum hnv_drop reason,
					enum hnv_direction direction, __u32 vsid, __u32 bytes)
{
	struct hnv_metric_key key = { .reason = reason, .direction = direction, .vsid = vsid };
	__u64 packets = skb->gso_segs ? skb->gso_segs : 1;
	struct hnv_metric *metric = bpf_map_lookup_elem(&hnv_metrics_v1, &key);

	if (metric) {
		metric->packets += packets;
		metric->bytes += bytes;
	} else {
		struct hnv_metric first = { .packets = packets, .bytes = bytes };

		bpf_map_update_elem(&hnv_metrics_v1, &key, &first, BPF_NOEXIST);
	}
}

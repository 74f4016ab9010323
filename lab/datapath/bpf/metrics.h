/* Counters by (reason, direction, VSID). */
#pragma once

#include "maps.h"

static __always_inline void metrics_add(enum hnv_drop reason, enum hnv_direction direction, __u32 vsid,
					__u32 packets, __u32 bytes)
{
	struct hnv_metric_key key = { .reason = reason, .direction = direction, .vsid = vsid };
	struct hnv_metric *metric = bpf_map_lookup_elem(&hnv_metrics_v1, &key);

	if (metric) {
		metric->packets += packets;
		metric->bytes += bytes;
	} else {
		struct hnv_metric first = { .packets = packets, .bytes = bytes };

		bpf_map_update_elem(&hnv_metrics_v1, &key, &first, BPF_NOEXIST);
	}
}

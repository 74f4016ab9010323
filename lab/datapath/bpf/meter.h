/* What each port sent and was given, told apart by whether it stayed in the routing domain. */
#pragma once

#include "maps.h"

static __always_inline void meter_add(__u32 ifindex, enum hnv_acl_direction direction, enum hnv_meter_kind kind,
				      __u32 packets, __u32 bytes)
{
	struct hnv_meter_key key = { .ifindex = ifindex, .direction = direction, .kind = kind };
	struct hnv_metric *meter = bpf_map_lookup_elem(&hnv_meters_v1, &key);

	if (meter) {
		meter->packets += packets;
		meter->bytes += bytes;
	} else {
		struct hnv_metric first = { .packets = packets, .bytes = bytes };

		bpf_map_update_elem(&hnv_meters_v1, &key, &first, BPF_NOEXIST);
	}
}

/* What each port sent and was given, told apart by whether it stayed in the routing domain. */
#pragma once

#include "pass.h"

/* `octets` of the VM's frame, which `ifindex` sent or is given. */
static __always_inline void meter_add(const struct pass *pass, __u32 ifindex, enum hnv_acl_direction direction,
				      __u32 octets)
{
	bool foreign = direction == HNV_ACL_OUTBOUND ? pass->destination_is_foreign : pass->source_is_foreign;
	struct hnv_meter_key key = {
		.ifindex = ifindex,
		.direction = direction,
		.kind = foreign ? HNV_METER_GATEWAY : HNV_METER_INTERNAL,
	};
	struct hnv_metric *meter = bpf_map_lookup_elem(&hnv_meters_v1, &key);

	if (meter) {
		meter->packets += pass->packets;
		meter->bytes += octets;
	} else {
		struct hnv_metric first = { .packets = pass->packets, .bytes = octets };

		bpf_map_update_elem(&hnv_meters_v1, &key, &first, BPF_NOEXIST);
	}
}

/* The front end's tables, and one typed lookup for each. */
#pragma once

#include "fe_abi.h"

#define FE_HASH(name, kind, key_type, value_type, size)         \
	struct {                                                \
		__uint(type, kind);                             \
		__uint(max_entries, size);                      \
		__uint(map_flags, BPF_F_NO_PREALLOC);           \
		__type(key, key_type);                          \
		__type(value, value_type);                      \
	} name SEC(".maps")

FE_HASH(hnv_fe_legs_v1, BPF_MAP_TYPE_HASH, __u32, struct hnv_fe_leg, 4096);
FE_HASH(hnv_fe_vlans_v1, BPF_MAP_TYPE_HASH, __u32, __u32, 4096);        /* VLAN id -> ifindex of the leg */
FE_HASH(hnv_fe_tunnels_v1, BPF_MAP_TYPE_HASH, struct hnv_fe_tunnel_key, __u32, 4096);
FE_HASH(hnv_fe_locals_v1, BPF_MAP_TYPE_HASH, __be32, __u32, 4096);      /* our tunnels' addresses -> 1 */
FE_HASH(hnv_fe_access_v1, BPF_MAP_TYPE_HASH, __u32, __u32, 4096);       /* ifindex of an access port -> VLAN id */
FE_HASH(hnv_fe_counters_v1, BPF_MAP_TYPE_PERCPU_HASH, struct hnv_fe_counter_key, struct hnv_metric, 65536);

static __always_inline const struct hnv_fe_leg *leg_find(__u32 ifindex)
{
	return bpf_map_lookup_elem(&hnv_fe_legs_v1, &ifindex);
}

/* The ifindex of the leg of a VLAN; 0: none has it. */
static __always_inline __u32 vlan_find(__u32 vlan)
{
	const __u32 *ifindex = bpf_map_lookup_elem(&hnv_fe_vlans_v1, &vlan);

	return ifindex ? *ifindex : 0;
}

/* The ifindex of the leg of a tunnel, by its ends as we see them; 0: none is it. */
static __always_inline __u32 tunnel_find(__be32 local, __be32 remote, __be32 gre_key)
{
	struct hnv_fe_tunnel_key key = { .local = local, .remote = remote, .key = gre_key };
	const __u32 *ifindex = bpf_map_lookup_elem(&hnv_fe_tunnels_v1, &key);

	return ifindex ? *ifindex : 0;
}

static __always_inline bool tunnel_address_is_ours(__be32 address)
{
	return bpf_map_lookup_elem(&hnv_fe_locals_v1, &address);
}

/* The VLAN of an access port; 0: it is none. */
static __always_inline __u32 access_find(__u32 ifindex)
{
	const __u32 *vlan = bpf_map_lookup_elem(&hnv_fe_access_v1, &ifindex);

	return vlan ? *vlan : 0;
}

static __always_inline void counter_add(__u32 ifindex, enum hnv_fe_direction direction, enum hnv_fe_drop reason,
					__u32 packets, __u32 bytes)
{
	struct hnv_fe_counter_key key = { .ifindex = ifindex, .direction = direction, .reason = reason };
	struct hnv_metric *counter = bpf_map_lookup_elem(&hnv_fe_counters_v1, &key);

	if (counter) {
		counter->packets += packets;
		counter->bytes += bytes;
	} else {
		struct hnv_metric first = { .packets = packets, .bytes = bytes };

		bpf_map_update_elem(&hnv_fe_counters_v1, &key, &first, BPF_NOEXIST);
	}
}

/* The switch's tables, and one typed lookup for each. Every table of all tenants is one map with the tenant
 * in its key: a lookup costs the same whatever their number, and an entry changes atomically. */
#pragma once

#include "abi.h"
#include "addr.h"

#define HNV_HASH(name, key_type, value_type, size)              \
	struct {                                                \
		__uint(type, BPF_MAP_TYPE_HASH);                \
		__uint(max_entries, size);                      \
		__uint(map_flags, BPF_F_NO_PREALLOC);           \
		__type(key, key_type);                          \
		__type(value, value_type);                      \
	} name SEC(".maps")

HNV_HASH(hnv_vports_v1, __u32, struct hnv_vport, 4096);
HNV_HASH(hnv_subnets_v1, __u32, struct hnv_subnet, 32768);
HNV_HASH(hnv_lookup_v1, struct hnv_lookup_key, struct hnv_lookup, 262144);
HNV_HASH(hnv_locals_v1, struct hnv_local_key, __u32, 4096);
HNV_HASH(hnv_members_v1, struct hnv_member_key, __u32, 262144);
HNV_HASH(hnv_domains_v1, struct hnv_rdid, __u32, 32768);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hnv_route_key);
	__type(value, struct hnv_route);
} hnv_routes_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hnv_settings);
} hnv_settings_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hnv_metric_key);
	__type(value, struct hnv_metric);
} hnv_metrics_v1 SEC(".maps");

static __always_inline const struct hnv_vport *vport_find(__u32 ifindex)
{
	return bpf_map_lookup_elem(&hnv_vports_v1, &ifindex);
}

static __always_inline const struct hnv_subnet *subnet_find(__u32 vsid)
{
	return bpf_map_lookup_elem(&hnv_subnets_v1, &vsid);
}

static __always_inline const struct hnv_lookup *lookup_find(__u32 vsid, struct hnv_addr ca)
{
	struct hnv_lookup_key key = { .vsid = vsid, .ca = ca };

	return bpf_map_lookup_elem(&hnv_lookup_v1, &key);
}

/* The ifindex of the port that holds this MAC; 0: none here. */
static __always_inline __u32 local_find(__u32 vsid, struct hnv_mac mac)
{
	struct hnv_local_key key = { .vsid = vsid, .mac = mac };
	const __u32 *ifindex = bpf_map_lookup_elem(&hnv_locals_v1, &key);

	return ifindex ? *ifindex : 0;
}

static __always_inline const struct hnv_route *route_find(__u32 rd, struct hnv_addr destination)
{
	struct hnv_route_key key = {
		.prefix_bits = 8 * (sizeof(key.rd) + sizeof(key.prefix)),
		.rd = bpf_htonl(rd),
		.prefix = destination,
	};

	return bpf_map_lookup_elem(&hnv_routes_v1, &key);
}

static __always_inline bool route_is_on_link(const struct hnv_route *route)
{
	return addr_is_zero(&route->next_hop);
}

static __always_inline const __u32 *member_find(__u32 rd, struct hnv_addr pa)
{
	struct hnv_member_key key = { .rd = rd, .pa = pa };

	return bpf_map_lookup_elem(&hnv_members_v1, &key);
}

static __always_inline const struct hnv_settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&hnv_settings_v1, &zero);
}

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

HNV_HASH(hnv_vports_v2, __u32, struct hnv_vport, 4096);
HNV_HASH(hnv_subnets_v1, __u32, struct hnv_subnet, 32768);
HNV_HASH(hnv_lookup_v1, struct hnv_lookup_key, struct hnv_lookup, 262144);
HNV_HASH(hnv_locals_v1, struct hnv_local_key, __u32, 4096);
HNV_HASH(hnv_members_v1, struct hnv_member_key, __u32, 262144);
HNV_HASH(hnv_domains_v1, struct hnv_rdid, __u32, 32768);
HNV_HASH(hnv_providers_v1, struct hnv_addr, __u32, 64);
HNV_HASH(hnv_flood_v1, struct hnv_flood_key, struct hnv_flood, 262144);
HNV_HASH(hnv_acls_v1, struct hnv_acl_digest, __u32, 8192);
HNV_HASH(hnv_acl_rules_v1, struct hnv_acl_key, struct hnv_acl_rule, 262144);
HNV_HASH(hnv_traces_v1, struct hnv_trace_key, __u32, 64);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hnv_route_key);
	__type(value, struct hnv_route);
} hnv_routes_v2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hnv_settings);
} hnv_settings_v3 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hnv_metric_key);
	__type(value, struct hnv_metric);
} hnv_metrics_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct hnv_flow_key);
	__type(value, struct hnv_flow);
} hnv_flows_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hnv_meter_key);
	__type(value, struct hnv_metric);
} hnv_meters_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} hnv_events_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} hnv_trace_events_v1 SEC(".maps");

static __always_inline const struct hnv_vport *vport_find(__u32 ifindex)
{
	return bpf_map_lookup_elem(&hnv_vports_v2, &ifindex);
}

static __always_inline const struct hnv_subnet *subnet_find(__u32 vsid)
{
	return bpf_map_lookup_elem(&hnv_subnets_v1, &vsid);
}

static __always_inline const struct hnv_lookup *lookup_find(__u32 vsid, const struct hnv_addr *ca)
{
	struct hnv_lookup_key key = { .vsid = vsid, .ca = *ca };

	return bpf_map_lookup_elem(&hnv_lookup_v1, &key);
}

/* The ifindex of the port that holds this MAC; 0: none here. */
static __always_inline __u32 local_find(__u32 vsid, const __u8 *mac)
{
	struct hnv_local_key key = { .vsid = vsid, .mac = mac_of(mac) };
	const __u32 *ifindex = bpf_map_lookup_elem(&hnv_locals_v1, &key);

	return ifindex ? *ifindex : 0;
}

/* The longest prefix of a table: a routing domain's number, or HNV_TABLE_USER | VSID. */
static __always_inline const struct hnv_route *route_find(__u32 table, const struct hnv_addr *destination)
{
	struct hnv_route_key key = {
		.prefix_bits = 8 * (sizeof(key.table) + sizeof(key.prefix)),
		.table = bpf_htonl(table),
		.prefix = *destination,
	};

	return bpf_map_lookup_elem(&hnv_routes_v2, &key);
}

static __always_inline bool route_is_on_link(const struct hnv_route *route)
{
	return addr_is_zero(&route->next_hop) && addr_is_zero(&route->external_router) &&
	       !(route->flags & HNV_ROUTE_BLACKHOLE);
}

static __always_inline const __u32 *member_find(__u32 rd, const struct hnv_addr *pa)
{
	struct hnv_member_key key = { .rd = rd, .pa = *pa };

	return bpf_map_lookup_elem(&hnv_members_v1, &key);
}

/* The uplink that carries one of our own PAs now; NULL: the PA is not ours. */
static __always_inline const __u32 *provider_find(const struct hnv_addr *pa)
{
	/* Linux 6.1 takes no key from the memory that a function is handed. */
	struct hnv_addr key = *pa;

	return bpf_map_lookup_elem(&hnv_providers_v1, &key);
}

static __always_inline const struct hnv_flood *flood_find(__u32 vsid, __u32 index)
{
	struct hnv_flood_key key = { .vsid = vsid, .index = index };

	return bpf_map_lookup_elem(&hnv_flood_v1, &key);
}

static __always_inline const struct hnv_settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&hnv_settings_v3, &zero);
}

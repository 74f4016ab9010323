/* Later fragments have no ports: they go where their first one went (RFC 1858 §3). */
#pragma once

#include "pass.h"
#include "rate.h"

#define FRAGMENT_IDLE_NS (30 * NS_PER_S) /* as long as receivers wait for the rest (Linux: ipfrag_time) */

struct fragment_key {
	__u32 ifindex;                  /* port that has the access control list */
	__u32 id;
	struct hnv_addr source;
	struct hnv_addr destination;
	__u8 direction;                 /* enum hnv_acl_direction */
	__u8 protocol;                  /* IPv4; IPv6: 0, later ones may name another (RFC 8200 §4.5) */
	__u16 pad;
};

struct fragment_verdict {
	__u64 last_ns;
	__u32 denied;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment_verdict);
} hnv_fragments_v1 SEC(".maps");

static __always_inline void fragment_key_of(struct fragment_key *key, const struct pass *pass, __u32 ifindex,
					    enum hnv_acl_direction direction)
{
	key->ifindex = ifindex;
	key->id = pass->fragment_id;
	key->source = pass->source;
	key->destination = pass->destination;
	key->direction = direction;
	key->protocol = pass->ip_version == 4 ? pass->protocol : 0;
}

static __always_inline void fragment_remember(const struct fragment_key *key, __u64 now, bool denied)
{
	struct fragment_verdict verdict = { .last_ns = now, .denied = denied };

	bpf_map_update_elem(&hnv_fragments_v1, key, &verdict, BPF_ANY);
}

static __always_inline int fragment_check(const struct fragment_key *key, __u64 now)
{
	struct fragment_verdict *verdict = bpf_map_lookup_elem(&hnv_fragments_v1, key);

	if (!verdict || (__s64)(now - verdict->last_ns) > (__s64)FRAGMENT_IDLE_NS)
		return -HNV_DROP_FRAGMENT;
	verdict->last_ns = now;
	return verdict->denied ? -HNV_DROP_ACL : 0;
}

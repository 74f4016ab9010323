/* Which uplink a packet leaves by: switch-independent teaming of Hyper-V (Hyper-V port, address hash, dynamic). */
#pragma once

#include "maps.h"
#include "pass.h"

#define FLOWLET_PAUSE_NS 500000         /* longer than the difference between two paths: order is kept */
#define FLOWLETS 4096

struct flowlet {
	__u64 last_ns;
	__u32 uplink;
	__u32 pad;
};

/* Forgotten with the program: a flow then starts a new flowlet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWLETS);
	__type(key, __u32);
	__type(value, struct flowlet);
} flowlets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HNV_UPLINKS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} uplink_octets SEC(".maps");

/* A hash of what all packets of a flow share. Fragments have no ports, so every fragment of a datagram, the first
 * one too, is known by its addresses alone. */
static __always_inline __u32 flow_hash(const struct pass *pass)
{
	const struct hnv_addr *a = &pass->source, *b = &pass->destination;
	__u32 source = a->word[3], destination = b->word[3], hash;

	if (pass->ip_version == 6) {
		source ^= a->word[0] * 0x9e3779b1 ^ a->word[1] * 0x85ebca6b ^ a->word[2] * 0xc2b2ae35;
		destination ^= b->word[0] * 0x9e3779b1 ^ b->word[1] * 0x85ebca6b ^ b->word[2] * 0xc2b2ae35;
	}
	hash = source * 0x9e3779b1 ^ destination * 0x85ebca6b ^ pass->protocol;
	if (!pass->is_fragment)
		hash ^= (pass->source_port | (__u32)pass->destination_port << 16) * 0xc2b2ae35;
	hash ^= hash >> 16;
	hash *= 0x7feb352d;
	return hash;
}

static __always_inline __u32 uplink_at(const struct hnv_settings *settings, __u32 number)
{
	/* The compiler knows that the number is small, and would leave out what proves it to the verifier. */
	asm volatile("" : "+r"(number));
	return settings->uplink[number & (HNV_UPLINKS_MAX - 1)];
}

/* Flowlets: a flow that pauses may move, as what is under way has arrived before the next packet goes. */
static __noinline __u32 team_dynamic(const struct hnv_settings *settings, __u32 hash, __u32 octets)
{
	__u32 count = settings->uplink_count, slot = hash & (FLOWLETS - 1), chosen = 0;
	struct flowlet *flowlet = bpf_map_lookup_elem(&flowlets, &slot);
	__u64 now = bpf_ktime_get_ns(), least = ~0ull, *sent;
	bool keep = false;

	if (!flowlet)
		return 0;
	for (__u32 i = 0; i < HNV_UPLINKS_MAX; i++) {
		__u32 number = i;

		sent = bpf_map_lookup_elem(&uplink_octets, &number);
		if (i >= count || !sent || keep)
			break;
		if (uplink_at(settings, i) == flowlet->uplink && now - flowlet->last_ns < FLOWLET_PAUSE_NS) {
			chosen = i;
			keep = true;
		} else if (*sent < least) {
			least = *sent;
			chosen = i;
		}
	}
	sent = bpf_map_lookup_elem(&uplink_octets, &chosen);
	if (!sent)
		return 0;
	__sync_fetch_and_add(sent, octets);
	flowlet->last_ns = now;
	flowlet->uplink = uplink_at(settings, chosen);
	return flowlet->uplink;
}

/* The ifindex; 0: no uplink has carrier. */
static __always_inline __u32 team_uplink(const struct hnv_settings *settings, const struct pass *pass, __u32 hash)
{
	__u32 count = settings->uplink_count, number;
	const __u32 *home;

	if (!count || count > HNV_UPLINKS_MAX)
		return 0;
	if (settings->team == HNV_TEAM_PORT) {
		home = provider_find(&pass->own_pa);
		return home ? *home : 0;
	}
	if (settings->team == HNV_TEAM_DYNAMIC)
		return team_dynamic(settings, hash, pass->length);
	number = hash % count;
	return uplink_at(settings, number);
}

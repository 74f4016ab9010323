/* The provider network's encapsulations: NVGRE (RFC 7637) and VXLAN (RFC 7348), each IPv4 outside and a whole frame
 * without tag and FCS inside. A lab uses one of them. */
#pragma once

#include "drop.h"
#include "ecn.h"
#include "gre.h"
#include "ip4.h"
#include "mtu.h"
#include "team.h"
#include "trace.h"

#define NVGRE_PROTOCOL 0x6558           /* Transparent Ethernet Bridging */
#define FIRST_VSID 0x1000               /* below: reserved (RFC 7637 §3.2) */
#define VENDOR_VSID 0xffffff
#define VXLAN_PORT 4789
#define VXLAN_FLAGS 0x08                /* VNI present (RFC 7348 §5) */
#define VXLAN_FIRST_SOURCE_PORT 49152   /* to 65535 (RFC 7348 §5, RFC 6335) */

struct vxlan_header {
	__u8 flags;
	__u8 reserved[3];
	__be32 vni;
};

/* What stands between the outer Ethernet header and the inner IP header. */
struct nvgre_header {
	struct iphdr ip;
	struct gre_header gre;
	struct ethhdr inner;
} __attribute__((packed));

struct udp_vxlan_header {
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan_header vxlan;
	struct ethhdr inner;
} __attribute__((packed));

#define NVGRE_OVERHEAD sizeof(struct nvgre_header)
#define VXLAN_OVERHEAD sizeof(struct udp_vxlan_header)
_Static_assert(NVGRE_OVERHEAD == 42 && VXLAN_OVERHEAD == 50, "RFC 7637, RFC 7348");

static __always_inline bool is_vxlan(const struct hnv_settings *settings)
{
	return settings->flags & HNV_SETTINGS_VXLAN;
}

static __always_inline __u32 tunnel_overhead(const struct hnv_settings *settings)
{
	return is_vxlan(settings) ? VXLAN_OVERHEAD : NVGRE_OVERHEAD;
}

static __always_inline struct iphdr outer_ip4(const struct pass *pass, const struct hnv_settings *settings,
					      __u8 protocol, __u16 len)
{
	return ip4_outer(pass->own_pa.word[3], pass->next_pa.word[3], protocol, tos_outer(pass, settings), len);
}

static __always_inline int nvgre_push(struct __sk_buff *skb, const struct pass *pass,
				      const struct hnv_settings *settings, __u32 hash)
{
	struct nvgre_header header __attribute__((aligned(8))) = {
		.ip = outer_ip4(pass, settings, IPPROTO_GRE, skb->len - sizeof(struct ethhdr) + NVGRE_OVERHEAD),
		.gre = {
			.flags = bpf_htons(GRE_KEY_PRESENT),
			.protocol = bpf_htons(NVGRE_PROTOCOL),
			/* FlowID (RFC 7637 §3.2, §4.1): as much entropy as eight bits hold */
			.key = bpf_htonl(pass->next_vsid << 8 | hash >> 24),
		},
		.inner = pass->frame.eth,
	};

	if (outer_make_room(skb, sizeof(header), BPF_F_ADJ_ROOM_ENCAP_L4_GRE))
		return -HNV_DROP_ENCAP;
	return bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &header, sizeof(header), 0) ? -HNV_DROP_ENCAP : 0;
}

static __always_inline int vxlan_push(struct __sk_buff *skb, const struct pass *pass,
				      const struct hnv_settings *settings, __u32 hash)
{
	__u16 len = skb->len - sizeof(struct ethhdr) + VXLAN_OVERHEAD;
	struct udp_vxlan_header header __attribute__((aligned(8))) = {
		.ip = outer_ip4(pass, settings, IPPROTO_UDP, len),
		.udp = {
			.source = bpf_htons(VXLAN_FIRST_SOURCE_PORT + (hash >> 18)),
			.dest = bpf_htons(VXLAN_PORT),
			.len = bpf_htons(len - sizeof(struct iphdr)),
		},
		.vxlan = { .flags = VXLAN_FLAGS, .vni = bpf_htonl(pass->next_vsid << 8) },
		.inner = pass->frame.eth,
	};

	if (outer_make_room(skb, sizeof(header), BPF_F_ADJ_ROOM_ENCAP_L4_UDP))
		return -HNV_DROP_ENCAP;
	return bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &header, sizeof(header), 0) ? -HNV_DROP_ENCAP : 0;
}

/* Send the frame, whose Ethernet header is the pass's, to the PA of the next hop, by this uplink. */
static __always_inline int tunnel_push(struct __sk_buff *skb, struct pass *pass,
				       const struct hnv_settings *settings, __u32 hash, __u32 uplink)
{
	bool was_ip6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	int error;

	trace_stage(skb, pass, HNV_STAGE_ENCAP, pass->next_vsid, &pass->next_pa);
	error = is_vxlan(settings) ? vxlan_push(skb, pass, settings, hash) : nvgre_push(skb, pass, settings, hash);
	if (error)
		return error;
	/* The kernel writes the outer Ethernet header, but not for a frame whose present one says that it is for many. */
	if (pass->is_flood && bpf_skb_store_bytes(skb, 0, pass->frame.eth.h_source, ETH_ALEN, 0))
		return -HNV_DROP_ENCAP;
	pass->eth_offset += tunnel_overhead(settings);
	trace_stage(skb, pass, HNV_STAGE_WIRE_OUT, uplink, &pass->next_pa);
	if (was_ip6 && skb->protocol == bpf_htons(ETH_P_IPV6))
		return redirect_again(skb, pass, pass->next_vsid, uplink);
	return redirect_wire(skb, pass, settings, uplink);
}

/* Every rule for the outer header, and the VSID behind it. Returns 1 when the packet is not for the switch. */
static __always_inline int tunnel_parse(struct __sk_buff *skb, struct pass *pass,
					const struct hnv_settings *settings, __u8 *tos, __u32 *vsid)
{
	struct {
		struct iphdr ip;
		union {
			struct gre_header gre;
			struct udphdr udp;
		};
		struct vxlan_header vxlan;
	} __attribute__((packed, aligned(4))) outer;
	const __u32 vxlan_len = sizeof(outer);
	const __u32 nvgre_len = sizeof(outer) - sizeof(outer.vxlan);
	bool vxlan = is_vxlan(settings);
	const struct iphdr *ip = &outer.ip;
	__u32 len;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &outer, sizeof(*ip)))
		return 1;
	if (ip->version != 4 || ip->protocol != (vxlan ? IPPROTO_UDP : IPPROTO_GRE))
		return 1;
	pass->own_pa = addr_from_ip4(ip->daddr);
	pass->peer_pa = addr_from_ip4(ip->saddr);
	if (!provider_find(&pass->own_pa))
		return 1;
	*tos = ip->tos;
	if (vxlan) {
		/* Which datagram a fragment belongs to is not known: only a first one names its port. */
		if (ip->frag_off & bpf_htons(IP4_FRAGMENT_OFFSET) || ip->ihl < 5 ||
		    bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + ip->ihl * 4, &outer.udp, sizeof(outer.udp)) ||
		    outer.udp.dest != bpf_htons(VXLAN_PORT))
			return 1;
	}
	if (ip->frag_off & bpf_htons(IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET))
		return -HNV_DROP_OUTER_FRAG;
	len = bpf_ntohs(ip->tot_len);
	/* We send no options; a header that has some is not from a switch of ours. */
	if (ip->ihl * 4 != sizeof(*ip) || len > skb->len - sizeof(struct ethhdr) ||
	    len < (vxlan ? vxlan_len : nvgre_len) ||
	    bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + sizeof(*ip), &outer.gre, nvgre_len - sizeof(*ip)))
		return -HNV_DROP_OUTER_MALFORMED;
	if (vxlan) {
		if (bpf_ntohs(outer.udp.len) != len - sizeof(*ip) ||
		    bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + nvgre_len, &outer.vxlan, sizeof(outer.vxlan)))
			return -HNV_DROP_OUTER_MALFORMED;
		if (outer.vxlan.flags != VXLAN_FLAGS)
			return -HNV_DROP_VXLAN_FLAGS;
		*vsid = bpf_ntohl(outer.vxlan.vni) >> 8;
	} else {
		if (outer.gre.flags != bpf_htons(GRE_KEY_PRESENT))
			return -HNV_DROP_GRE_FLAGS;
		if (outer.gre.protocol != bpf_htons(NVGRE_PROTOCOL))
			return -HNV_DROP_GRE_PROTOCOL;
		*vsid = bpf_ntohl(outer.gre.key) >> 8;
	}
	return *vsid < FIRST_VSID || *vsid == VENDOR_VSID ? -HNV_DROP_VSID_RESERVED : 0;
}

/* Take the outer header off; the inner frame, with the TOS that is to be, is what remains. `again`: it may be
 * encapsulated anew, for which it had better stay an IPv4 packet to the kernel. */
static __always_inline int tunnel_strip(struct __sk_buff *skb, struct pass *pass,
					const struct hnv_settings *settings, __u8 tos, bool again)
{
	__s32 overhead = tunnel_overhead(settings);
	int error = -1;

	tos_set(pass, tos);
	if (pass->ip_version == 6 && !again)
		error = bpf_skb_adjust_room(skb, -overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | DECAP_L3_IPV6);
	if (error && bpf_skb_adjust_room(skb, -overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -HNV_DROP_DECAP;
	pass->eth_offset -= overhead;
	pass->l3_offset -= overhead;
	pass->l4_offset -= overhead;
	return frame_store(skb, pass) ? -HNV_DROP_DECAP : 0;
}

/* `tunnel_push` for whoever sends: one copy of it for all. */
__noinline int tunnel_send(struct __sk_buff *skb, struct pass *pass, __u32 hash, __u32 uplink)
{
	const struct hnv_settings *settings = settings_get();

	if (!pass || !settings)
		return -HNV_DROP_NO_UPLINK;
	return tunnel_push(skb, pass, settings, hash, uplink);
}

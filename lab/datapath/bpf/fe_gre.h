/* GRE tunnels: IPv4 in IPv4 with a key (RFC 2784, RFC 2890). Congestion by RFC 6040 normal mode, class by RFC 2983's
 * pipe model: what the tunnel's path does with a packet is not the tenant's to say. */
#pragma once

#include "congestion.h"
#include "fe_frame.h"
#include "gre.h"

struct gre_outer {
	struct iphdr ip;
	struct gre_header gre;
};

#define GRE_OVERHEAD sizeof(struct gre_outer)
_Static_assert(GRE_OVERHEAD == 28, "RFC 2890");

/* The header checksum of an inner packet is not verified: its destination does that. */
static __always_inline int inner_check(const struct iphdr *ip, __u32 len)
{
	__u32 header_len = ip->ihl * 4, total_len = bpf_ntohs(ip->tot_len);

	return ip->version == 4 && header_len >= IP4_MIN_HEADER_LEN && total_len >= header_len && total_len <= len ?
		       0 : -HNV_FE_DROP_INNER_MALFORMED;
}

/* Every rule for the outer packet but whose it is; its header has been read. */
static __always_inline int outer_check(struct __sk_buff *skb, struct gre_outer *outer)
{
	const struct iphdr *ip = &outer->ip;
	__u32 len = bpf_ntohs(ip->tot_len);

	if (ip->frag_off & bpf_htons(IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET))
		return -HNV_FE_DROP_OUTER_FRAG;
	/* Nobody else looks at this header again (RFC 1122 §3.2.1.2). No tunnel's end sends options. */
	if (ip->ihl * 4 != sizeof(*ip) || len < GRE_OVERHEAD || len > skb->len - sizeof(struct ethhdr) ||
	    csum_ip4(ip) ||
	    bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + sizeof(*ip), &outer->gre, sizeof(outer->gre)))
		return -HNV_FE_DROP_OUTER_MALFORMED;
	if (outer->gre.flags != bpf_htons(GRE_KEY_PRESENT))
		return -HNV_FE_DROP_GRE_FLAGS;
	return outer->gre.protocol == bpf_htons(ETH_P_IP) ? 0 : -HNV_FE_DROP_GRE_PROTOCOL;
}

/* Bring what the path met into the inner header at `offset`. */
static __always_inline int congestion_in(struct __sk_buff *skb, struct iphdr *inner, __u8 outer_tos, __u32 offset)
{
	int ecn = ecn_at_egress(outer_tos & ECN_MASK, inner->tos & ECN_MASK);
	__u16 *first = (__u16 *)inner;          /* version, header length, TOS */
	__u16 before = *first;

	if (ecn < 0)
		return -HNV_FE_DROP_ECN;
	if (ecn == (inner->tos & ECN_MASK))
		return 0;
	inner->tos = (inner->tos & (__u8)~ECN_MASK) | ecn;
	inner->check = csum_replace(inner->check, before, *first);
	return bpf_skb_store_bytes(skb, offset, inner, sizeof(*inner), 0) ? -HNV_FE_DROP_DECAP : 0;
}

static __always_inline int outer_strip(struct __sk_buff *skb, const struct hnv_fe_leg *leg)
{
	struct ethhdr eth = { .h_proto = bpf_htons(ETH_P_IP) };

	__builtin_memcpy(eth.h_dest, leg->inner_mac.byte, ETH_ALEN);
	__builtin_memcpy(eth.h_source, leg->outer_mac.byte, ETH_ALEN);
	if (bpf_skb_adjust_room(skb, -(__s32)GRE_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO) ||
	    bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return -HNV_FE_DROP_DECAP;
	return 0;
}

/* TC_ACT_OK: it is not for one of our tunnels' addresses. */
static __always_inline int gre_in(struct __sk_buff *skb, struct crossing *crossing)
{
	const __u32 inner_offset = sizeof(struct ethhdr) + GRE_OVERHEAD;
	const struct hnv_fe_leg *leg;
	struct gre_outer outer;
	struct iphdr inner;
	__u32 ifindex, len;
	int error;

	/* A frame that a bridge flooded is for another station, perhaps the gateway that stands in for this one. */
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type ||
	    bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &outer.ip, sizeof(outer.ip)) ||
	    outer.ip.version != 4 || outer.ip.protocol != IPPROTO_GRE || !tunnel_address_is_ours(outer.ip.daddr))
		return TC_ACT_OK;
	error = outer_check(skb, &outer);
	if (error)
		return error;
	ifindex = tunnel_find(outer.ip.daddr, outer.ip.saddr, outer.gre.key);
	if (!ifindex)
		return -HNV_FE_DROP_GRE_UNKNOWN;
	leg = leg_find(ifindex);
	/* The tables change one after the other: this one may name a leg that is another tunnel's by now. */
	if (!leg || leg->vlan || leg->key != outer.gre.key || leg->remote != outer.ip.saddr ||
	    leg->local != outer.ip.daddr)
		return -HNV_FE_DROP_NO_LEG;
	crossing->leg = ifindex;
	if (bpf_skb_load_bytes(skb, inner_offset, &inner, sizeof(inner)))
		return -HNV_FE_DROP_INNER_MALFORMED;
	len = measure(skb, crossing, inner_offset);
	error = inner_check(&inner, bpf_ntohs(outer.ip.tot_len) - GRE_OVERHEAD);
	if (!error)
		error = fits(skb, ifindex, len);
	if (!error)
		error = congestion_in(skb, &inner, outer.ip.tos, inner_offset);
	if (!error)
		error = outer_strip(skb, leg);
	return error ? error : redirect_to(skb, ifindex);
}

/* Put the outer header on. Marked as if it were one of UDP: where the packet goes on by VXLAN the kernel cuts super-packets
 * by that mark and refuses any other, whereas in GRE it asks for none. */
static __always_inline int outer_push(struct __sk_buff *skb, const struct hnv_fe_leg *leg, const struct iphdr *inner)
{
	struct gre_outer outer __attribute__((aligned(8))) = {
		.ip = ip4_outer(leg->local, leg->remote, IPPROTO_GRE, inner->tos & ECN_MASK,
				skb->len - sizeof(struct ethhdr) + GRE_OVERHEAD),
		.gre = {
			.flags = bpf_htons(GRE_KEY_PRESENT),
			.protocol = bpf_htons(ETH_P_IP),
			.key = leg->key,
		},
	};

	if (outer_make_room(skb, sizeof(outer), BPF_F_ADJ_ROOM_ENCAP_L4_UDP) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &outer, sizeof(outer), 0) ||
	    /* The kernel writes the Ethernet header, but not of a frame whose present one says that it is for many. */
	    bpf_skb_store_bytes(skb, 0, leg->outer_mac.byte, ETH_ALEN, 0))
		return -HNV_FE_DROP_ENCAP;
	return 0;
}

/* The kernel's routes and neighbours know the way to the far end: it may be anywhere. */
static __always_inline int gre_out(struct __sk_buff *skb, struct crossing *crossing, const struct hnv_fe_leg *leg)
{
	__u32 front_end = leg->front_end, len = measure(skb, crossing, sizeof(struct ethhdr));
	struct iphdr inner;
	int error;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return -HNV_FE_DROP_NON_IP;
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &inner, sizeof(inner)))
		return -HNV_FE_DROP_INNER_MALFORMED;
	error = inner_check(&inner, skb->len - sizeof(struct ethhdr));
	if (!error)
		error = fits(skb, front_end, len + GRE_OVERHEAD);
	if (!error && skb->len - sizeof(struct ethhdr) + GRE_OVERHEAD > 0xffff)
		error = -HNV_FE_DROP_TOO_BIG;
	if (!error)
		error = outer_push(skb, leg, &inner);
	if (error)
		return error;
	skb->cb[CB_OUT_IFINDEX] = front_end;
	return bpf_redirect_neigh(front_end, NULL, 0, 0);
}

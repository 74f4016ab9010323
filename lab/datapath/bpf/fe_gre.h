/* GRE tunnels: IPv4 and IPv6 in IPv4 with a key (RFC 2784, RFC 2890, RFC 7676). Congestion by RFC 6040 normal mode, class by RFC 2983's
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

/* An inner packet's first header. */
struct gre_inner {
	union {
		struct iphdr ip4;
		struct ipv6hdr ip6;
	};
	__be16 protocol;                /* ETH_P_IP or ETH_P_IPV6, as GRE or the frame says */
};

static __always_inline bool is_ip6(const struct gre_inner *inner)
{
	return inner->protocol == bpf_htons(ETH_P_IPV6);
}

/* Read it; `len`: octets that the packet may have at most. The header checksum of IPv4 is not verified: the packet's
 * destination does that. Nor are IPv6's extension headers followed: what the packet is matters to nobody here. */
static __always_inline int inner_read(struct __sk_buff *skb, struct gre_inner *inner, __u32 offset, __u32 len)
{
	const struct ipv6hdr *ip6 = &inner->ip6;
	const struct iphdr *ip4 = &inner->ip4;
	__u32 header_len, total_len;

	if (is_ip6(inner)) {
		if (bpf_skb_load_bytes(skb, offset, &inner->ip6, sizeof(inner->ip6)) || ip6->version != 6 ||
		    sizeof(*ip6) + bpf_ntohs(ip6->payload_len) > len)
			return -HNV_FE_DROP_INNER_MALFORMED;
		return 0;
	}
	if (bpf_skb_load_bytes(skb, offset, &inner->ip4, sizeof(inner->ip4)) || ip4->version != 4)
		return -HNV_FE_DROP_INNER_MALFORMED;
	header_len = ip4->ihl * 4;
	total_len = bpf_ntohs(ip4->tot_len);
	return header_len >= IP4_MIN_HEADER_LEN && total_len >= header_len && total_len <= len ?
		       0 : -HNV_FE_DROP_INNER_MALFORMED;
}

/* TOS or traffic class. */
static __always_inline __u8 inner_tos(const struct gre_inner *inner)
{
	return is_ip6(inner) ? (__u8)(inner->ip6.priority << 4 | inner->ip6.flow_lbl[0] >> 4) : inner->ip4.tos;
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
	return outer->gre.protocol == bpf_htons(ETH_P_IP) || outer->gre.protocol == bpf_htons(ETH_P_IPV6) ?
		       0 : -HNV_FE_DROP_GRE_PROTOCOL;
}

/* Bring what the path met into the inner header at `offset`. */
static __always_inline int congestion_in(struct __sk_buff *skb, struct gre_inner *inner, __u8 outer_tos, __u32 offset)
{
	__u8 tos = inner_tos(inner);
	int ecn = ecn_at_egress(outer_tos & ECN_MASK, tos & ECN_MASK);
	__u16 *first = (__u16 *)&inner->ip4;    /* version, header length, TOS */
	__u16 before = *first;

	if (ecn < 0)
		return -HNV_FE_DROP_ECN;
	if (ecn == (tos & ECN_MASK))
		return 0;
	tos = (tos & (__u8)~ECN_MASK) | ecn;
	if (is_ip6(inner)) {
		inner->ip6.flow_lbl[0] = (inner->ip6.flow_lbl[0] & 15) | tos << 4;
		return bpf_skb_store_bytes(skb, offset, &inner->ip6, sizeof(inner->ip6), 0) ? -HNV_FE_DROP_DECAP : 0;
	}
	inner->ip4.tos = tos;
	inner->ip4.check = csum_replace(inner->ip4.check, before, *first);
	return bpf_skb_store_bytes(skb, offset, &inner->ip4, sizeof(inner->ip4), 0) ? -HNV_FE_DROP_DECAP : 0;
}

static __always_inline int outer_strip(struct __sk_buff *skb, const struct hnv_fe_leg *leg, __be16 protocol)
{
	struct ethhdr eth = { .h_proto = protocol };
	int error = -1;

	__builtin_memcpy(eth.h_dest, leg->inner_mac.byte, ETH_ALEN);
	__builtin_memcpy(eth.h_source, leg->outer_mac.byte, ETH_ALEN);
	if (protocol == bpf_htons(ETH_P_IPV6))
		error = bpf_skb_adjust_room(skb, -(__s32)GRE_OVERHEAD, BPF_ADJ_ROOM_MAC,
					    BPF_F_ADJ_ROOM_FIXED_GSO | DECAP_L3_IPV6);
	if (error)
		error = bpf_skb_adjust_room(skb, -(__s32)GRE_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	if (error || bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return -HNV_FE_DROP_DECAP;
	return 0;
}

/* TC_ACT_OK: it is not for one of our tunnels' addresses. */
static __always_inline int gre_in(struct __sk_buff *skb, struct crossing *crossing)
{
	const __u32 inner_offset = sizeof(struct ethhdr) + GRE_OVERHEAD;
	const struct hnv_fe_leg *leg;
	struct gre_inner inner;
	struct gre_outer outer;
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
	len = measure(skb, crossing, inner_offset);
	inner.protocol = outer.gre.protocol;
	error = inner_read(skb, &inner, inner_offset, bpf_ntohs(outer.ip.tot_len) - GRE_OVERHEAD);
	if (!error)
		error = fits(skb, ifindex, len);
	if (!error)
		error = congestion_in(skb, &inner, outer.ip.tos, inner_offset);
	if (!error)
		error = outer_strip(skb, leg, inner.protocol);
	return error ? error : redirect_to(skb, ifindex);
}

/* Put the outer header on. Marked as if it were one of UDP: where the packet goes on by VXLAN the kernel cuts super-packets
 * by that mark and refuses any other, whereas in GRE it asks for none. */
static __always_inline int outer_push(struct __sk_buff *skb, const struct hnv_fe_leg *leg,
				      const struct gre_inner *inner)
{
	struct gre_outer outer __attribute__((aligned(8))) = {
		.ip = ip4_outer(leg->local, leg->remote, IPPROTO_GRE, inner_tos(inner) & ECN_MASK,
				skb->len - sizeof(struct ethhdr) + GRE_OVERHEAD),
		.gre = {
			.flags = bpf_htons(GRE_KEY_PRESENT),
			.protocol = inner->protocol,
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

/* skb->mark of a packet that this program sends round through its own leg. A tenant cannot set it: the kernel clears
 * marks of what crosses from one network namespace into another. The rest of it is the front end. */
#define MARK_AGAIN 0x80000000u

/* Encapsulated, but still an IPv6 packet to the kernel: it learns better when it receives the packet anew. That is so
 * of a packet that left another tunnel in this kernel (outer_make_room). */
static __always_inline int gre_again(struct __sk_buff *skb, __u32 front_end)
{
	__be16 protocol = bpf_htons(ETH_P_IP);

	if (bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol), 0))
		return -HNV_FE_DROP_ENCAP;
	skb->mark = MARK_AGAIN | front_end;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

/* The second half of gre_again: everything has been counted. */
static __always_inline int gre_marked(struct __sk_buff *skb)
{
	__u32 front_end = skb->mark & ~MARK_AGAIN;

	skb->mark = 0;
	return bpf_redirect_neigh(front_end, NULL, 0, 0);
}

/* The kernel's routes and neighbours know the way to the far end: it may be anywhere. */
static __always_inline int gre_out(struct __sk_buff *skb, struct crossing *crossing, const struct hnv_fe_leg *leg)
{
	__u32 front_end = leg->front_end, len = measure(skb, crossing, sizeof(struct ethhdr));
	struct gre_inner inner = { .protocol = skb->protocol };
	int error;

	if (inner.protocol != bpf_htons(ETH_P_IP) && !is_ip6(&inner))
		return -HNV_FE_DROP_NON_IP;
	error = inner_read(skb, &inner, sizeof(struct ethhdr), skb->len - sizeof(struct ethhdr));
	if (!error)
		error = fits(skb, front_end, len + GRE_OVERHEAD);
	if (!error && skb->len - sizeof(struct ethhdr) + GRE_OVERHEAD > 0xffff)
		error = -HNV_FE_DROP_TOO_BIG;
	if (!error)
		error = outer_push(skb, leg, &inner);
	if (error)
		return error;
	skb->cb[CB_OUT_IFINDEX] = front_end;
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return gre_again(skb, front_end);
	return bpf_redirect_neigh(front_end, NULL, 0, 0);
}

/* NVGRE (RFC 7637): IPv4, GRE with a key of VSID and FlowID, the inner frame without tag and FCS. */
#pragma once

#include "csum.h"
#include "drop.h"
#include "ecn.h"
#include "mtu.h"
#include "parse.h"

#define NVGRE_FLAGS 0x2000              /* key present; no checksum, no sequence, version 0 (§3.2) */
#define NVGRE_PROTOCOL 0x6558           /* Transparent Ethernet Bridging */
#define NVGRE_FIRST_VSID 0x1000         /* below: reserved (§3.2) */
#define NVGRE_VENDOR_VSID 0xffffff
#define OUTER_TTL 64
#define KERNEL_EALREADY 114

struct gre_header {
	__be16 flags;
	__be16 protocol;
	__be32 key;
};

/* What stands between the outer Ethernet header and the inner IP header. */
struct nvgre_header {
	struct iphdr ip;
	struct gre_header gre;
	struct ethhdr inner;
} __attribute__((packed));

#define NVGRE_OVERHEAD sizeof(struct nvgre_header)
_Static_assert(NVGRE_OVERHEAD == 42, "RFC 7637");

/* FlowID (§3.2, §4.1): as much entropy as a flow has, the same for all of its packets. Fragments have no
 * ports, so every fragment of a datagram, the first one too, is known by its addresses alone. */
static __always_inline __u8 nvgre_flow_id(struct __sk_buff *skb, const struct iphdr *ip)
{
	__u32 hash = ip->saddr * 0x9e3779b1 ^ ip->daddr * 0x85ebca6b ^ ip->protocol;
	__be32 ports = 0;

	if (!ip4_is_fragment(ip) &&
	    (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_SCTP))
		/* A packet too short for ports is hashed without them. */
		if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + ip->ihl * 4, &ports, sizeof(ports)))
			ports = 0;
	hash ^= ports * 0xc2b2ae35;
	hash ^= hash >> 16;
	hash *= 0x7feb352d;
	return hash >> 24;
}

static __always_inline int nvgre_make_room(struct __sk_buff *skb)
{
	const __u64 marks = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE |
			    BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
	int error = bpf_skb_adjust_room(skb, NVGRE_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | marks);

	/* A packet that left another tunnel in this kernel still bears that tunnel's marks, which no helper
	 * clears. They are absolute offsets and fit a header of the same shape: ours again. */
	if (error == -KERNEL_EALREADY)
		error = bpf_skb_adjust_room(skb, NVGRE_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	return error;
}

/* Put the frame, whose inner header is `inner`, into a tunnel to `pa`. `vsid`: of the destination's subnet. */
static __always_inline int nvgre_send(struct __sk_buff *skb, struct pass *pass, const struct hnv_settings *settings,
				      __u32 vsid, struct hnv_addr pa, const struct ethhdr *inner)
{
	__u32 key = vsid << 8 | nvgre_flow_id(skb, &pass->frame.ip);
	struct nvgre_header header __attribute__((aligned(8))) = {
		.ip = {
			.version = 4,
			.ihl = sizeof(struct iphdr) / 4,
			.tos = pass->frame.ip.tos & ECN_MASK,
			.frag_off = bpf_htons(IP4_DONT_FRAGMENT),
			.ttl = OUTER_TTL,
			.protocol = IPPROTO_GRE,
			.saddr = settings->pa.word[3],
			.daddr = pa.word[3],
		},
		.gre = {
			.flags = bpf_htons(NVGRE_FLAGS),
			.protocol = bpf_htons(NVGRE_PROTOCOL),
			.key = bpf_htonl(key),
		},
		.inner = *inner,
	};

	if (nvgre_make_room(skb))
		return -HNV_DROP_ENCAP;
	header.ip.tot_len = bpf_htons(skb->len - sizeof(struct ethhdr));
	header.ip.check = csum_ip4((void *)&header.ip);
	if (bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &header, sizeof(header), 0))
		return -HNV_DROP_ENCAP;
	return redirect_to(skb, pass, HNV_WIRE_OUT, vsid, settings->uplink);
}

/* Every rule for the outer header, and the VSID behind it. Returns 1 when the packet is not for the switch. */
static __always_inline int nvgre_parse(struct __sk_buff *skb, const struct hnv_settings *settings,
				       struct iphdr *outer, __u32 *vsid)
{
	struct gre_header gre;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), outer, sizeof(*outer)))
		return 1;
	if (outer->version != 4 || outer->protocol != IPPROTO_GRE || !addr_is_ip4(&settings->pa, outer->daddr))
		return 1;
	if (ip4_is_fragment(outer))
		return -HNV_DROP_OUTER_FRAG;
	/* We send no options; a header that has some is not from a switch of ours. */
	if (outer->ihl * 4 != sizeof(*outer) || parse_ip4(skb, sizeof(struct ethhdr), outer))
		return -HNV_DROP_OUTER_MALFORMED;
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + sizeof(*outer), &gre, sizeof(gre)))
		return -HNV_DROP_OUTER_MALFORMED;
	if (gre.flags != bpf_htons(NVGRE_FLAGS))
		return -HNV_DROP_GRE_FLAGS;
	if (gre.protocol != bpf_htons(NVGRE_PROTOCOL))
		return -HNV_DROP_GRE_PROTOCOL;
	*vsid = bpf_ntohl(gre.key) >> 8;
	if (*vsid < NVGRE_FIRST_VSID || *vsid == NVGRE_VENDOR_VSID)
		return -HNV_DROP_VSID_RESERVED;
	return 0;
}

/* Take the outer header off; the inner frame, with its ECN field as RFC 6040 wants it, is what remains. */
static __always_inline int nvgre_strip(struct __sk_buff *skb, struct pass *pass, __u8 outer_tos)
{
	struct frame *inner = &pass->frame;
	int ecn = ecn_at_egress(outer_tos & ECN_MASK, inner->ip.tos & ECN_MASK);

	if (ecn < 0)
		return ecn;
	ecn_set(&inner->ip, ecn);
	if (bpf_skb_adjust_room(skb, -(int)NVGRE_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -HNV_DROP_DECAP;
	if (frame_store(skb, inner))
		return -HNV_DROP_DECAP;
	return 0;
}

/* What the front end knows of the one frame that it works on: its tag, its size, whose it is. */
#pragma once

#include "fe_maps.h"
#include "ip4.h"
#include "vlan.h"

#define VLAN_ID_MASK 0x0fff
#define CB_OUT_IFINDEX 0                /* for BPF_PROG_TEST_RUN, as in drop.h */

struct crossing {
	enum hnv_fe_direction direction;
	__u32 leg;                      /* whom the frame is counted for */
	__u32 packets;                  /* that a super-packet stands for */
	__u32 bytes;                    /* of the frame as it stands on the leg: no tag, no outer header */
};

/* The outermost tag of a frame; .vlan 0: only a priority. */
struct tag {
	bool is_present;
	bool is_customer;               /* of 802.1Q; else 802.1ad */
	__u16 vlan;
};

/* The kernel holds it beside the frame, or it stands in it. */
static __always_inline struct tag tag_of(struct __sk_buff *skb)
{
	struct tag tag = {};
	__be16 tci = 0;

	if (skb->vlan_present) {
		tag.is_present = true;
		tag.is_customer = skb->vlan_proto == bpf_htons(ETH_P_8021Q);
		tag.vlan = skb->vlan_tci & VLAN_ID_MASK;
	} else if (is_vlan(skb->protocol)) {
		tag.is_present = true;
		tag.is_customer = skb->protocol == bpf_htons(ETH_P_8021Q) &&
				  !bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &tci, sizeof(tci));
		tag.vlan = bpf_ntohs(tci) & VLAN_ID_MASK;
	}
	return tag;
}

/* Take the outermost tag off; there may be no other below it. */
static __always_inline int tag_strip(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_pop(skb))
		return -HNV_FE_DROP_DECAP;
	return tag_of(skb).is_present ? -HNV_FE_DROP_TAGGED : 0;
}

/* Length of the headers that each segment of a super-packet repeats, from its IP header on. */
static __always_inline __u32 segment_headers(struct __sk_buff *skb, __u32 l3_offset)
{
	__u8 head[IP4_MIN_HEADER_LEN], data_offset = 0, protocol;
	__u32 ip_len;

	if (bpf_skb_load_bytes(skb, l3_offset, head, sizeof(head)))
		return 0;
	ip_len = head[0] >> 4 == 4 ? (head[0] & 15) * 4 : sizeof(struct ipv6hdr);
	protocol = head[0] >> 4 == 4 ? head[9] : head[6];
	if (protocol != IPPROTO_TCP)
		return ip_len + sizeof(struct udphdr);
	bpf_skb_load_bytes(skb, l3_offset + ip_len + 12, &data_offset, sizeof(data_offset));
	return ip_len + (data_offset >> 4) * 4;
}

/* Measure the frame whose innermost IP header, or what stands in its place, begins there. Returns the length of the
 * largest packet that it will be, from that header on. */
static __always_inline __u32 measure(struct __sk_buff *skb, struct crossing *crossing, __u32 l3_offset)
{
	__u32 len = skb->len - l3_offset, headers;

	crossing->packets = 1;
	crossing->bytes = len + sizeof(struct ethhdr);
	if (!skb->gso_size)
		return len;
	headers = segment_headers(skb, l3_offset);
	/* The kernel's own count is zero once a tunnel header came or went. */
	if (len > headers)
		crossing->packets = (len - headers + skb->gso_size - 1) / skb->gso_size;
	return headers + skb->gso_size;
}

static __always_inline int fits(struct __sk_buff *skb, __u32 ifindex, __u32 packet_len)
{
	__u32 mtu = 0;

	/* Asked for the device's MTU only: its verdict says nothing about super-packets. */
	if (bpf_check_mtu(skb, ifindex, &mtu, 0, 0) < 0)
		return -HNV_FE_DROP_NO_LEG;
	return packet_len <= mtu ? 0 : -HNV_FE_DROP_TOO_BIG;
}

static __always_inline int redirect_to(struct __sk_buff *skb, __u32 ifindex)
{
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	return bpf_redirect(ifindex, 0);
}

/* The end of every frame: the only place that drops, and that counts. */
static __always_inline int finish(const struct crossing *crossing, int verdict)
{
	enum hnv_fe_drop reason = verdict < 0 ? -verdict : HNV_FE_FORWARDED;

	counter_add(crossing->leg, crossing->direction, reason, crossing->packets, crossing->bytes);
	return verdict < 0 ? TC_ACT_SHOT : verdict;
}

/* Reading headers. Copies to the stack, so that no check depends on what is linear in the packet. */
#pragma once

#include "pass.h"

#define IP4_MIN_HEADER_LEN 20
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_DONT_FRAGMENT 0x4000

static __always_inline int parse_ethernet(struct __sk_buff *skb, __u32 offset, struct ethhdr *eth)
{
	return bpf_skb_load_bytes(skb, offset, eth, sizeof(*eth)) ? -HNV_DROP_MALFORMED : 0;
}

/* The header checksum is not verified: every change to it here is incremental (RFC 1624), so that a wrong
 * one stays wrong and the destination refuses it. */
static __always_inline int parse_ip4(struct __sk_buff *skb, __u32 offset, struct iphdr *ip)
{
	__u32 header_len, total_len;

	if (bpf_skb_load_bytes(skb, offset, ip, sizeof(*ip)))
		return -HNV_DROP_MALFORMED;
	header_len = ip->ihl * 4;
	total_len = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header_len < IP4_MIN_HEADER_LEN || total_len < header_len ||
	    total_len > skb->len - offset)
		return -HNV_DROP_MALFORMED;
	return 0;
}

static __always_inline bool ip4_is_fragment(const struct iphdr *ip)
{
	return ip->frag_off & bpf_htons(IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET);
}

static __always_inline bool ip4_is_later_fragment(const struct iphdr *ip)
{
	return ip->frag_off & bpf_htons(IP4_FRAGMENT_OFFSET);
}

/* Super-packets: one buffer that stands for many packets, cut by the last device that needs it. */
#pragma once

#include "parse.h"

/* Length of the headers that each segment repeats, from its IP header at `offset` on. */
static __always_inline __u32 gso_headers_len(struct __sk_buff *skb, __u32 offset, const struct iphdr *ip)
{
	__u32 ip_len = ip->ihl * 4;
	__u8 data_offset;

	if (ip->protocol != IPPROTO_TCP)
		return ip_len + sizeof(struct udphdr);
	if (bpf_skb_load_bytes(skb, offset + ip_len + 12, &data_offset, sizeof(data_offset)))
		return ip_len;
	return ip_len + (data_offset >> 4) * 4;
}

/* Packets that the buffer stands for, when each carries `size` octets. The kernel's own count is zero once a tunnel header came or went. */
static __always_inline __u32 gso_packets(struct __sk_buff *skb, __u32 size, __u32 offset, const struct iphdr *ip)
{
	__u32 headers;

	if (!size)
		return 1;
	headers = offset + gso_headers_len(skb, offset, ip);
	return skb->len > headers ? (skb->len - headers + size - 1) / size : 1;
}

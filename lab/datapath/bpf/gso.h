/* Super-packets: one buffer that stands for many packets, cut by the last device that needs it. */
#pragma once

#include "parse.h"

/* Length of the headers that each segment repeats, from its IP header on. */
static __always_inline __u32 gso_headers_len(struct __sk_buff *skb, const struct pass *pass)
{
	__u32 ip_len = pass->l4_offset - pass->l3_offset;
	__u8 data_offset;

	if (pass->protocol != IPPROTO_TCP)
		return ip_len + sizeof(struct udphdr);
	if (bpf_skb_load_bytes(skb, pass->l4_offset + 12, &data_offset, sizeof(data_offset)))
		return ip_len;
	return ip_len + (data_offset >> 4) * 4;
}

/* Packets that the buffer stands for. The kernel's own count is zero once a tunnel header came or went. */
static __always_inline __u32 gso_packets(struct __sk_buff *skb, const struct pass *pass)
{
	__u32 headers;

	if (!pass->gso_size)
		return 1;
	headers = pass->l3_offset + gso_headers_len(skb, pass);
	return skb->len > headers ? (skb->len - headers + pass->gso_size - 1) / pass->gso_size : 1;
}

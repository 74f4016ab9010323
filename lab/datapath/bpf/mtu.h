/* Does a frame fit through a device, with an outer header before it? */
#pragma once

#include "gso.h"

/* Length of the largest packet, from its IP header on, that will be on the wire. */
static __always_inline __u32 mtu_packet_len(struct __sk_buff *skb, const struct pass *pass)
{
	if (!pass->gso_size)
		return skb->len - sizeof(struct ethhdr);
	return gso_headers_len(skb, pass) + pass->gso_size;
}

/* 0: it fits. The sender of a packet that does not is told the size that would, whether DF was set or not:
 * nothing here can fragment (RFC 7637 §4.4: an NVE must not). */
static __always_inline int mtu_check(struct __sk_buff *skb, struct pass *pass, __u32 ifindex, __u32 overhead)
{
	__u32 mtu = 0;

	/* Asked for the device's MTU only: its verdict says nothing about super-packets. */
	if (bpf_check_mtu(skb, ifindex, &mtu, 0, 0) < 0)
		return overhead ? -HNV_DROP_NO_UPLINK : -HNV_DROP_PORT_ABSENT;
	if (mtu_packet_len(skb, pass) + overhead <= mtu &&
	    skb->len - sizeof(struct ethhdr) + overhead <= 0xffff)
		return 0;
	pass->error_mtu = mtu - overhead;
	return drop_with_error(pass, HNV_DROP_TOO_BIG, ERROR_TOO_BIG);
}

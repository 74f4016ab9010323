/* Fields of an IPv4 header (RFC 791), and the header of a tunnel's own. */
#pragma once

#include "csum.h"

#define IP4_MIN_HEADER_LEN 20
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_DONT_FRAGMENT 0x4000
#define OUTER_TTL 64

static __always_inline struct iphdr ip4_outer(__be32 source, __be32 destination, __u8 protocol, __u8 tos, __u16 len)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tos = tos,
		.tot_len = bpf_htons(len),
		.frag_off = bpf_htons(IP4_DONT_FRAGMENT),
		.ttl = OUTER_TTL,
		.protocol = protocol,
		.saddr = source,
		.daddr = destination,
	};

	ip.check = csum_ip4(&ip);
	return ip;
}

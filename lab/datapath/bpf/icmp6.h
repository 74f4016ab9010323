/* ICMPv6 errors (RFC 4443) and the checksum that all of ICMPv6 has. */
#pragma once

#include "icmp.h"

struct icmp6_message {
	__u16 align;
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct icmp_header icmp;
	__u8 quote[ICMP6_QUOTE_MAX];
} __attribute__((packed, aligned(4)));

#define ICMP6_HEADERS (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct icmp_header))
_Static_assert(sizeof(struct icmp6_message) <= sizeof(((struct scratch *)0)->message), "room");

/* The headers of an ICMPv6 packet of `len` octets behind the fixed header. */
static __always_inline void icmp6_headers(struct pass *pass, struct icmp6_message *message, const __u8 *source_mac,
					  const struct hnv_addr *source, __u16 len)
{
	struct hnv_mac sender = mac_of(pass->frame.eth.h_source);

	__builtin_memcpy(message->eth.h_dest, sender.byte, ETH_ALEN);
	__builtin_memcpy(message->eth.h_source, source_mac, ETH_ALEN);
	message->eth.h_proto = bpf_htons(ETH_P_IPV6);
	message->ip.version = 6;
	message->ip.payload_len = bpf_htons(len);
	message->ip.nexthdr = IPPROTO_ICMPV6;
	message->ip.hop_limit = ICMP_TTL;
	__builtin_memcpy(&message->ip.saddr, source, sizeof(*source));
	__builtin_memcpy(&message->ip.daddr, &pass->source, sizeof(pass->source));
	pass->frame.eth = message->eth;
}

/* Over the pseudo-header (RFC 8200 §8.1) and the message; what stands behind it in the buffer is zero. */
static __always_inline void icmp6_checksum(struct icmp6_message *message)
{
	__u32 seed = bpf_csum_diff(NULL, 0, (void *)&message->ip.saddr, 2 * sizeof(message->ip.saddr),
				   (__u32)message->ip.payload_len + bpf_htons(IPPROTO_ICMPV6));

	message->icmp.check = 0;
	message->icmp.check = csum_fold(bpf_csum_diff(NULL, 0, (void *)&message->icmp,
						      sizeof(message->icmp) + sizeof(message->quote), seed));
}

static __always_inline void icmp6_kind(const struct pass *pass, struct icmp_header *icmp)
{
	icmp->type = ICMP6_UNREACHABLE;
	if (pass->error == ERROR_TTL_EXCEEDED)
		icmp->type = ICMP6_TIME_EXCEEDED;
	if (pass->error == ERROR_NO_ROUTE)
		icmp->code = ICMP6_NO_ROUTE;
	if (pass->error == ERROR_NO_HOST)
		icmp->code = ICMP6_ADDRESS_UNREACHABLE;
	if (pass->error == ERROR_NO_PORT)
		icmp->code = ICMP6_PORT_UNREACHABLE;
	if (pass->error == ERROR_TOO_BIG) {
		icmp->type = ICMP6_PACKET_TOO_BIG;
		icmp->mtu6 = bpf_htonl(pass->error_mtu);
	}
}

/* As icmp4_error. */
__noinline int icmp6_error(struct __sk_buff *skb, struct pass *pass)
{
	struct scratch *mine = scratch_get();
	const struct hnv_subnet *subnet;
	struct icmp6_message *message;
	__u32 quoted;

	if (!pass || !mine)
		return -1;
	subnet = subnet_find(pass->vsid);
	if (!subnet)
		return -1;
	message = (struct icmp6_message *)mine->message;
	__builtin_memset(message, 0, sizeof(*message));
	quoted = (__u32)pass->l4_offset + pass->l4_len - pass->l3_offset;
	if (quoted > ICMP6_QUOTE_MAX)
		quoted = ICMP6_QUOTE_MAX;
	if (quoted < sizeof(struct ipv6hdr) || !length_fits(&quoted, ICMP6_QUOTE_MAX))
		return -1;
	if (bpf_skb_load_bytes(skb, pass->l3_offset, message->quote, quoted))
		return -1;
	icmp6_headers(pass, message, subnet->router_mac.byte, &subnet->router, sizeof(message->icmp) + quoted);
	message->ip.priority = ICMP_ERROR_TOS >> 4;
	icmp6_kind(pass, &message->icmp);
	icmp6_checksum(message);
	pass->tos = ICMP_ERROR_TOS;
	return icmp_replace(skb, pass, &message->eth, ICMP6_HEADERS + quoted);
}

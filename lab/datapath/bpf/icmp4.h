/* ICMP errors (RFC 792, RFC 1812 §4.3). */
#pragma once

#include "icmp.h"

struct icmp4_message {
	__u16 align;
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_header icmp;
	__u8 quote[ICMP4_QUOTE_MAX];
} __attribute__((packed, aligned(4)));

#define ICMP4_HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct icmp_header))
_Static_assert(sizeof(struct icmp4_message) <= sizeof(((struct scratch *)0)->message), "room");

static __always_inline void icmp4_kind(const struct pass *pass, struct icmp_header *icmp)
{
	icmp->type = pass->error == ERROR_TTL_EXCEEDED ? ICMP_TIME_EXCEEDED : ICMP_DEST_UNREACH;
	if (pass->error == ERROR_NO_ROUTE)
		icmp->code = ICMP_NET_UNREACH;
	if (pass->error == ERROR_NO_HOST)
		icmp->code = ICMP_HOST_UNREACH;
	if (pass->error == ERROR_NO_PORT)
		icmp->code = ICMP_PORT_UNREACH;
	if (pass->error == ERROR_TOO_BIG) {
		icmp->code = ICMP_FRAG_NEEDED;
		icmp->sequence_or_mtu = bpf_htons(pass->error_mtu);
	}
}

/* Turn the frame into the error that `pass` owes its sender, from the ingress subnet's router.
 *
 * Returns TC_ACT_REDIRECT; anything else: no error can be sent, the frame is only dropped. A frame whose
 * checksum the sender left to the device keeps that mark: its receiver, the sender itself, does not look at it.
 */
__noinline int icmp4_error(struct __sk_buff *skb, struct pass *pass)
{
	struct scratch *mine = scratch_get();
	const struct hnv_subnet *subnet;
	struct icmp4_message *message;
	struct hnv_mac sender;
	__u32 quoted;

	if (!pass || !mine)
		return -1;
	subnet = subnet_find(pass->vsid);
	if (!subnet)
		return -1;
	message = (struct icmp4_message *)mine->message;
	__builtin_memset(message, 0, sizeof(*message));
	quoted = pass->l4_offset - pass->l3_offset;
	quoted += pass->l4_len < ICMP_QUOTED_L4 ? pass->l4_len : ICMP_QUOTED_L4;
	if (quoted < IP4_MIN_HEADER_LEN || !length_fits(&quoted, ICMP4_QUOTE_MAX))
		return -1;
	if (bpf_skb_load_bytes(skb, pass->l3_offset, message->quote, quoted))
		return -1;

	sender = mac_of(pass->frame.eth.h_source);
	__builtin_memcpy(message->eth.h_dest, sender.byte, ETH_ALEN);
	__builtin_memcpy(message->eth.h_source, subnet->router_mac.byte, ETH_ALEN);
	message->eth.h_proto = bpf_htons(ETH_P_IP);
	message->ip.version = 4;
	message->ip.ihl = sizeof(message->ip) / 4;
	message->ip.tos = ICMP_ERROR_TOS;
	message->ip.tot_len = bpf_htons(sizeof(message->ip) + sizeof(message->icmp) + quoted);
	message->ip.frag_off = bpf_htons(IP4_DONT_FRAGMENT);
	message->ip.ttl = ICMP_TTL;
	message->ip.protocol = IPPROTO_ICMP;
	message->ip.saddr = subnet->router.word[3];
	message->ip.daddr = pass->source.word[3];
	message->ip.check = csum_ip4(&message->ip);
	icmp4_kind(pass, &message->icmp);
	/* What is not quoted is zero and adds nothing to the sum. */
	message->icmp.check = csum_fold(bpf_csum_diff(NULL, 0, (void *)&message->icmp,
						      sizeof(message->icmp) + sizeof(message->quote), 0));
	pass->frame.eth = message->eth;
	pass->tos = ICMP_ERROR_TOS;
	return icmp_replace(skb, pass, &message->eth, ICMP4_HEADERS + quoted);
}

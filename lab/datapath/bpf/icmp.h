/* What the distributed router says to a VM: echo replies and errors (RFC 792, RFC 1812 §4.3). */
#pragma once

#include "csum.h"
#include "drop.h"
#include "parse.h"

#define ICMP_REPLY_TTL 64
#define ICMP_ERROR_TOS 0xc0             /* precedence "internetwork control" (RFC 1812 §4.3.2.5) */
#define ICMP_QUOTED_L4 20               /* RFC 792 wants 8; a TCP header lets the sender find its connection */
#define ICMP_QUOTE_MAX (60 + ICMP_QUOTED_L4)

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be16 id;
	__be16 sequence_or_mtu;
};

struct icmp_error_message {
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_header icmp;
	__u8 quote[ICMP_QUOTE_MAX];
} __attribute__((packed));

#define ICMP_ERROR_HEADERS (sizeof(struct icmp_error_message) - ICMP_QUOTE_MAX)

/* Answer an echo request to one of the router's addresses by turning it round. Later fragments have no ICMP
 * header: they are turned round as they are, and the VM puts the reply together. */
static __always_inline int icmp_echo_reply(struct __sk_buff *skb, struct pass *pass)
{
	struct frame frame = pass->frame;
	__u32 l4 = sizeof(frame.eth) + frame.ip.ihl * 4;
	__u8 ttl_before = frame.ip.ttl;
	struct icmp_header icmp;

	if (!ip4_is_later_fragment(&frame.ip)) {
		__u16 before = bpf_htons(ICMP_ECHO << 8), after = bpf_htons(ICMP_ECHOREPLY << 8);

		if (bpf_skb_load_bytes(skb, l4, &icmp, sizeof(icmp)))
			return -HNV_DROP_MALFORMED;
		if (icmp.type != ICMP_ECHO || icmp.code)
			return -HNV_DROP_ROUTER_LOCAL;
		icmp.type = ICMP_ECHOREPLY;
		icmp.check = csum_replace(icmp.check, before, after);
		if (bpf_skb_store_bytes(skb, l4, &icmp, sizeof(icmp), 0))
			return -HNV_DROP_MALFORMED;
	}
	__builtin_memcpy(frame.eth.h_dest, pass->frame.eth.h_source, ETH_ALEN);
	__builtin_memcpy(frame.eth.h_source, pass->frame.eth.h_dest, ETH_ALEN);
	frame.ip.saddr = pass->frame.ip.daddr;
	frame.ip.daddr = pass->frame.ip.saddr;
	frame.ip.ttl = ICMP_REPLY_TTL;
	frame.ip.check = csum_replace(frame.ip.check, bpf_htons(ttl_before << 8), bpf_htons(ICMP_REPLY_TTL << 8));
	if (frame_store(skb, &frame))
		return -HNV_DROP_MALFORMED;
	return redirect_to(skb, pass, HNV_VPORT_OUT, pass->vsid, skb->ifindex);
}

/* No error about an error, a later fragment (RFC 1812 §4.3.2.7) or a sender that cannot be reached. */
static __always_inline bool icmp_error_is_due(struct __sk_buff *skb, const struct iphdr *ip)
{
	__u8 type;

	if (ip4_is_later_fragment(ip) || !ip->saddr || !ip4_is_unicast(ip->saddr))
		return false;
	if (ip->protocol != IPPROTO_ICMP)
		return true;
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + ip->ihl * 4, &type, sizeof(type)))
		return false;
	return type == ICMP_ECHO || type == ICMP_ECHOREPLY || type == ICMP_TIMESTAMP || type == ICMP_TIMESTAMPREPLY;
}

/* Make the frame `len` octets long; what it holds does not matter, all of it is written anew. */
static __always_inline int icmp_resize(struct __sk_buff *skb, __u32 len)
{
	if (!bpf_skb_change_tail(skb, len, 0))
		return 0;
	/* The kernel refuses this to packets that have left a tunnel in it, but not to add or take from the
	 * middle, up to 4095 octets: all but super-packets. */
	return bpf_skb_adjust_room(skb, (__s32)(len - skb->len), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* Turn the frame into the error that `pass` owes its sender, from the ingress subnet's router.
 *
 * Returns TC_ACT_REDIRECT; anything else: no error can be sent, the frame is only dropped. A frame whose
 * checksum the sender left to the device keeps that mark: its receiver, the sender itself, does not look at it.
 */
static __always_inline int icmp_error(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_subnet *subnet = subnet_find(pass->vsid);
	const struct iphdr *ip = &pass->frame.ip;
	struct icmp_error_message message __attribute__((aligned(8))) = {};
	__u32 quoted = ip->ihl * 4 + ICMP_QUOTED_L4, available = bpf_ntohs(ip->tot_len);
	__u32 len;

	if (!subnet || !icmp_error_is_due(skb, ip))
		return -1;
	if (quoted > available)
		quoted = available;
	if (quoted < IP4_MIN_HEADER_LEN || quoted > ICMP_QUOTE_MAX)
		return -1;
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), message.quote, quoted))
		return -1;

	__builtin_memcpy(message.eth.h_dest, pass->frame.eth.h_source, ETH_ALEN);
	__builtin_memcpy(message.eth.h_source, subnet->router_mac.byte, ETH_ALEN);
	message.eth.h_proto = bpf_htons(ETH_P_IP);
	message.ip.version = 4;
	message.ip.ihl = sizeof(message.ip) / 4;
	message.ip.tos = ICMP_ERROR_TOS;
	message.ip.tot_len = bpf_htons(sizeof(message.ip) + sizeof(message.icmp) + quoted);
	message.ip.frag_off = bpf_htons(IP4_DONT_FRAGMENT);
	message.ip.ttl = ICMP_REPLY_TTL;
	message.ip.protocol = IPPROTO_ICMP;
	message.ip.saddr = subnet->router.word[3];
	message.ip.daddr = ip->saddr;
	message.ip.check = csum_ip4((void *)&message.ip);
	message.icmp.type = pass->error.type;
	message.icmp.code = pass->error.code;
	message.icmp.sequence_or_mtu = bpf_htons(pass->error.mtu);
	/* What is not quoted is zero and adds nothing to the sum. */
	message.icmp.check = csum_fold(bpf_csum_diff(NULL, 0, (void *)&message.icmp,
							sizeof(message.icmp) + sizeof(message.quote), 0));

	len = ICMP_ERROR_HEADERS + quoted;
	if (icmp_resize(skb, len) || bpf_skb_store_bytes(skb, 0, &message, len, 0))
		return -1;
	return redirect_to(skb, pass, HNV_VPORT_OUT, pass->vsid, skb->ifindex);
}

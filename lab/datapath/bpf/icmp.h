/* What the distributed router says: echo replies and errors (RFC 792 and 1812 §4.3, RFC 4443). */
#pragma once

#include "length.h"
#include "storm.h"
#include "tunnel.h"

#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_TIMESTAMP 13
#define ICMP_TIMESTAMPREPLY 14
#define ICMP_NET_UNREACH 0
#define ICMP_HOST_UNREACH 1
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_EXC_TTL 0
#define ICMP6_UNREACHABLE 1
#define ICMP6_PACKET_TOO_BIG 2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_REDIRECT 137
#define ICMP6_NO_ROUTE 0
#define ICMP6_ADDRESS_UNREACHABLE 3
#define ICMP6_PORT_UNREACHABLE 4

#define ICMP_TTL 64
#define ICMP_ERROR_TOS 0xc0             /* precedence "internetwork control" (RFC 1812 §4.3.2.5) */
#define ICMP_QUOTED_L4 20               /* RFC 792 wants 8; a TCP header lets the sender find its connection */
#define ICMP4_QUOTE_MAX (60 + ICMP_QUOTED_L4)
#define ICMP6_QUOTED 48                 /* behind the fixed header; RFC 4443 allows up to 1280 octets in all */
#define ICMP6_QUOTE_MAX (sizeof(struct ipv6hdr) + ICMP6_QUOTED)

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	union {
		struct {
			__be16 id;
			__be16 sequence_or_mtu;
		};
		__be32 mtu6;
	};
};

/* An echo reply or an error, as a distributed router sends them. */
static __always_inline bool icmp_is_routers(const struct pass *pass)
{
	__u8 type = pass->icmp_type;

	if (!pass_is_icmp(pass) || pass->is_later_fragment)
		return false;
	if (pass->ip_version == 4)
		return type == ICMP_ECHOREPLY || type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED;
	return type == ICMP6_ECHO_REPLY || (type >= ICMP6_UNREACHABLE && type <= ICMP6_TIME_EXCEEDED);
}

/* Send what the packet has become back to where it came from: a port, or the PA of a host that does not route. */
static __always_inline int icmp_send(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_settings *settings;
	__u32 hash, uplink;

	if (pass->port)
		return redirect_vport(skb, pass, pass->vsid, pass->port);
	settings = settings_get();
	if (!settings)
		return -HNV_DROP_NO_UPLINK;
	hash = flow_hash(pass);
	uplink = team_uplink(settings, pass, hash);
	if (!uplink)
		return -HNV_DROP_NO_UPLINK;
	pass->next_pa = pass->peer_pa;
	pass->next_vsid = pass->vsid;
	return tunnel_send(skb, pass, hash, uplink);
}

/* Answer an echo request to one of the router's addresses by turning it round. Later fragments have no ICMP
 * header: they are turned round as they are, and the sender puts the reply together. */
__noinline int icmp_echo_reply(struct __sk_buff *skb, struct pass *pass)
{
	__u8 request, reply;
	struct hnv_mac asker;

	if (!pass)
		return -HNV_DROP_ROUTER_LOCAL;
	request = pass->ip_version == 4 ? ICMP_ECHO : ICMP6_ECHO;
	reply = pass->ip_version == 4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
	if (!pass->is_later_fragment) {
		struct icmp_header icmp;

		if (pass->l4_len < sizeof(icmp) || bpf_skb_load_bytes(skb, pass->l4_offset, &icmp, sizeof(icmp)))
			return -HNV_DROP_MALFORMED;
		if (icmp.type != request || icmp.code)
			return -HNV_DROP_ROUTER_LOCAL;
		icmp.type = reply;
		icmp.check = csum_replace(icmp.check, bpf_htons(request << 8), bpf_htons(reply << 8));
		if (bpf_skb_store_bytes(skb, pass->l4_offset, &icmp, sizeof(icmp), 0))
			return -HNV_DROP_MALFORMED;
	}
	asker = mac_of(pass->frame.eth.h_source);
	__builtin_memcpy(pass->frame.eth.h_source, pass->frame.eth.h_dest, ETH_ALEN);
	__builtin_memcpy(pass->frame.eth.h_dest, asker.byte, ETH_ALEN);
	if (pass->ip_version == 4) {
		struct iphdr *ip = &pass->frame.ip4;
		__be32 source = ip->saddr;

		ip->check = csum_replace(ip->check, bpf_htons(ip->ttl << 8), bpf_htons(ICMP_TTL << 8));
		ip->ttl = ICMP_TTL;
		ip->saddr = ip->daddr;
		ip->daddr = source;
	} else {
		__builtin_memcpy(&pass->frame.ip6.saddr, &pass->destination, sizeof(pass->destination));
		__builtin_memcpy(&pass->frame.ip6.daddr, &pass->source, sizeof(pass->source));
		pass->frame.ip6.hop_limit = ICMP_TTL;
	}
	if (frame_store(skb, pass))
		return -HNV_DROP_MALFORMED;
	return icmp_send(skb, pass);
}

/* No error about an error, a later fragment (RFC 1812 §4.3.2.7), what went to many, or to a sender that cannot be
 * reached (RFC 4443 §2.4 e). */
static __always_inline bool icmp_error_is_due(const struct pass *pass)
{
	__u8 type = pass->icmp_type;

	if (!pass->may_answer || pass->is_flood || pass->is_later_fragment || !pass->ip_version ||
	    addr_is_many(&pass->source) || addr_is_ip4(&pass->source, 0) || addr_is_zero(&pass->source))
		return false;
	if (!pass_is_icmp(pass))
		return true;
	if (pass->ip_version == 6)
		return type >= ICMP6_ECHO && type != ICMP6_REDIRECT;
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

/* The frame becomes the first `len` octets of a message. */
static __always_inline int icmp_replace(struct __sk_buff *skb, struct pass *pass, const void *message, __u32 len)
{
	if (icmp_resize(skb, len) || bpf_skb_store_bytes(skb, 0, message, len, 0))
		return -1;
	return icmp_send(skb, pass);
}

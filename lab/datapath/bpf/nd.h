/* Neighbour discovery (RFC 4861) is answered from policy and never leaves the port, but for what a router of the
 * tenant's own says, which stays in its subnet. */
#pragma once

#include "guard.h"
#include "icmp6.h"
#include "maps.h"

#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define ND_HOP_LIMIT 255
#define ND_SOURCE_MAC 1                 /* options: type, and length in units of eight octets */
#define ND_TARGET_MAC 2
#define ND_ROUTER_FLAG 0x80000000u
#define ND_SOLICITED_FLAG 0x40000000u
#define ND_OVERRIDE_FLAG 0x20000000u

struct nd_option {
	__u8 type;
	__u8 len;
	__u8 mac[ETH_ALEN];
};

struct nd_message {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 flags;
	struct hnv_addr target;
	struct nd_option option;
};
_Static_assert(sizeof(struct nd_message) == 32, "RFC 4861 §4.3");

#define ND_LEN_WITHOUT_OPTION (sizeof(struct nd_message) - sizeof(struct nd_option))

static __always_inline bool nd_is(const struct pass *pass)
{
	return pass->ip_version == 6 && pass->protocol == IPPROTO_ICMPV6 && !pass->is_later_fragment &&
	       pass->icmp_type >= ND_ROUTER_SOLICITATION && pass->icmp_type <= ND_REDIRECT;
}

/* What only a router says: an advertisement or a redirect. */
static __always_inline bool nd_is_routers(const struct pass *pass)
{
	return (pass->icmp_type == ND_ROUTER_ADVERTISEMENT || pass->icmp_type == ND_REDIRECT) && nd_is(pass);
}

/* Such a message comes from the router's link-local address (RFC 4861 §4.2, §4.5), for which there is no record: the
 * address is the one that the source MAC gives, and no router has handed it on. */
static __always_inline bool nd_is_from_link_local(const struct pass *pass)
{
	struct hnv_addr own;

	if (!nd_is_routers(pass) || pass->ttl != ND_HOP_LIMIT)
		return false;
	own = addr_link_local(pass->frame.eth.h_source);
	return addr_equal(&pass->source, &own);
}

/* May the port speak as a router? To its link only: the distributed router takes no advice and hands none on. */
static __always_inline int nd_check_router(const struct pass *pass, const struct hnv_vport *port,
					   const struct hnv_subnet *subnet)
{
	int error = guard_check_router(port);

	if (error)
		return error;
	if (pass->ttl != ND_HOP_LIMIT)
		return -HNV_DROP_ND_MALFORMED;
	return mac_equal(pass->frame.eth.h_dest, subnet->router_mac.byte) ? -HNV_DROP_ND_IGNORED : 0;
}

/* Who asks, and whether an answer is due. */
static __always_inline int nd_check(const struct pass *pass, const struct hnv_vport *port,
				    const struct nd_message *asked)
{
	struct hnv_addr own = addr_link_local(port->mac.byte);
	bool unspecified = addr_is_zero(&pass->source);

	if (!unspecified && !addr_equal(&pass->source, &port->ca) && !addr_equal(&pass->source, &own))
		return -HNV_DROP_ND_SPOOF;
	if (asked->option.type == ND_SOURCE_MAC && asked->option.len == 1 &&
	    !mac_equal(asked->option.mac, port->mac.byte))
		return -HNV_DROP_ND_SPOOF;
	/* Addresses are policy, so that no one else can have it: nothing to detect (RFC 4862 §5.4). */
	if (unspecified || addr_equal(&asked->target, &port->ca) || addr_equal(&asked->target, &own))
		return -HNV_DROP_ND_IGNORED;
	return 0;
}

static __always_inline int nd_load(struct __sk_buff *skb, const struct pass *pass, struct nd_message *asked)
{
	if (pass->ttl != ND_HOP_LIMIT || pass->icmp_code || pass->l4_len < ND_LEN_WITHOUT_OPTION ||
	    bpf_skb_load_bytes(skb, pass->l4_offset, asked, ND_LEN_WITHOUT_OPTION))
		return -HNV_DROP_ND_MALFORMED;
	if (addr_is_many(&asked->target))
		return -HNV_DROP_ND_MALFORMED;
	asked->option.type = 0;
	if (pass->l4_len >= sizeof(*asked) &&
	    bpf_skb_load_bytes(skb, pass->l4_offset + ND_LEN_WITHOUT_OPTION, &asked->option, sizeof(asked->option)))
		return -HNV_DROP_ND_MALFORMED;
	return 0;
}

/* The frame becomes the advertisement (RFC 4861 §7.2.4). */
static __always_inline int nd_advertise(struct __sk_buff *skb, struct pass *pass, const struct hnv_addr *target,
					const __u8 *mac, __u32 flags)
{
	struct scratch *mine = scratch_get();
	struct icmp6_message *message;
	struct nd_message *answer;

	if (!mine)
		return -HNV_DROP_ND_MALFORMED;
	message = (struct icmp6_message *)mine->message;
	__builtin_memset(message, 0, sizeof(*message));
	answer = (struct nd_message *)&message->icmp;
	icmp6_headers(pass, message, mac, target, sizeof(*answer));
	message->ip.hop_limit = ND_HOP_LIMIT;
	answer->type = ND_ADVERTISEMENT;
	answer->flags = bpf_htonl(flags);
	answer->target = *target;
	answer->option.type = ND_TARGET_MAC;
	answer->option.len = 1;
	__builtin_memcpy(answer->option.mac, mac, ETH_ALEN);
	icmp6_checksum(message);
	if (icmp_replace(skb, pass, &message->eth,
			 sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(*answer)) < 0)
		return -HNV_DROP_ND_MALFORMED;
	return TC_ACT_REDIRECT;
}

/* 0: a router's message, from one that may send it; else the verdict. */
__noinline int nd_answer(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_lookup *record;
	const struct hnv_subnet *subnet;
	const struct hnv_vport *port;
	struct hnv_addr router;
	struct nd_message asked;
	int error;

	if (!pass)
		return -HNV_DROP_PORT_BLOCKED;
	port = vport_find(pass->port);
	subnet = subnet_find(pass->vsid);
	if (!port || !subnet)
		return -HNV_DROP_PORT_BLOCKED;
	if (nd_is_routers(pass))
		return nd_check_router(pass, port, subnet);
	if (pass->icmp_type != ND_SOLICITATION)
		return -HNV_DROP_ND_IGNORED;
	error = nd_load(skb, pass, &asked);
	if (!error)
		error = nd_check(pass, port, &asked);
	if (error)
		return error;

	router = addr_link_local(subnet->router_mac.byte);
	if (addr_equal(&asked.target, &subnet->router) || addr_equal(&asked.target, &router))
		return nd_advertise(skb, pass, &asked.target, subnet->router_mac.byte,
				    ND_ROUTER_FLAG | ND_SOLICITED_FLAG | ND_OVERRIDE_FLAG);
	record = lookup_find(pass->vsid, &asked.target);
	if (!record)
		return -HNV_DROP_ND_UNKNOWN;
	return nd_advertise(skb, pass, &asked.target, record->mac.byte, ND_SOLICITED_FLAG | ND_OVERRIDE_FLAG);
}

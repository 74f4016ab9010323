/* Where a VM's frame goes: within its subnet, or through the distributed router that every node has. */
#pragma once

#include "icmp.h"
#include "maps.h"
#include "parse.h"

/* By value: the verifier does not follow a map's pointer through two branches that join. */
struct path {
	struct hnv_lookup to;           /* the record of the next hop */
	struct hnv_mac router_mac;      /* of the next hop's subnet */
	bool routed;
	__u32 vsid;                     /* the next hop's: what NVGRE carries */
};

/* 0: `path` says where to; else the verdict. */
static __always_inline int switch_lookup(struct pass *pass, struct path *path)
{
	const struct hnv_lookup *record = lookup_find(pass->vsid, addr_from_ip4(pass->frame.ip.daddr));

	if (!record)
		return -HNV_DROP_NO_RECORD;
	if (!mac_equal(record->mac.byte, pass->frame.eth.h_dest))
		return -HNV_DROP_MAC_MISMATCH;
	path->vsid = pass->vsid;
	path->to = *record;
	return 0;
}

/* A packet to one of the router's own addresses. */
static __always_inline int router_local(struct __sk_buff *skb, struct pass *pass)
{
	const struct iphdr *ip = &pass->frame.ip;

	if (ip->protocol == IPPROTO_ICMP)
		return icmp_echo_reply(skb, pass);
	if (ip->protocol == IPPROTO_UDP)
		/* traceroute ends on this */
		return drop_with_error(pass, HNV_DROP_ROUTER_LOCAL, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH);
	return -HNV_DROP_ROUTER_LOCAL;
}

/* RFC 1812 §5.2: local delivery, TTL, longest prefix, next hop. 0: `path` says where to; else the verdict. */
static __always_inline int router_lookup(struct __sk_buff *skb, struct pass *pass, struct path *path)
{
	const struct iphdr *ip = &pass->frame.ip;
	struct hnv_addr destination = addr_from_ip4(ip->daddr);
	const struct hnv_route *route = route_find(pass->rd, destination);
	const struct hnv_subnet *subnet = route ? subnet_find(route->vsid) : NULL;
	const struct hnv_lookup *record;

	if (route && subnet && route_is_on_link(route) && addr_equal(&subnet->router, &destination))
		return router_local(skb, pass);
	if (ip->ttl <= 1)
		return drop_with_error(pass, HNV_DROP_TTL_EXCEEDED, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL);
	if (!route)
		return drop_with_error(pass, HNV_DROP_NO_ROUTE, ICMP_DEST_UNREACH, ICMP_NET_UNREACH);
	/* A route may lead into no other routing domain, whatever the policy says. */
	if (!subnet || subnet->rd != pass->rd)
		return -HNV_DROP_NO_SUBNET;
	record = lookup_find(route->vsid, route_is_on_link(route) ? destination : route->next_hop);
	if (!record)
		return drop_with_error(pass, HNV_DROP_NO_RECORD, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
	path->vsid = route->vsid;
	path->to = *record;
	path->router_mac = subnet->router_mac;
	path->routed = true;
	return 0;
}

/* What a router changes: TTL, checksum, both MACs. The source becomes the router of the next hop's subnet. */
static __always_inline int router_rewrite(struct __sk_buff *skb, const struct path *path, struct frame *frame)
{
	__u16 *ttl_and_protocol = (__u16 *)&frame->ip.ttl;
	__u16 before = *ttl_and_protocol;

	frame->ip.ttl--;
	frame->ip.check = csum_replace(frame->ip.check, before, *ttl_and_protocol);
	__builtin_memcpy(frame->eth.h_source, path->router_mac.byte, ETH_ALEN);
	__builtin_memcpy(frame->eth.h_dest, path->to.mac.byte, ETH_ALEN);
	return frame_store(skb, frame);
}

/* Where a frame goes: within its subnet, or through the distributed router that every node has. */
#pragma once

#include "icmp.h"
#include "maps.h"
#include "parse.h"

/* 0: the next hop is found; else the verdict. */
static __always_inline int switch_lookup(struct pass *pass)
{
	const struct hnv_lookup *record = lookup_find(pass->vsid, &pass->destination);

	if (!record)
		return -HNV_DROP_NO_RECORD;
	if (!mac_equal(record->mac.byte, pass->frame.eth.h_dest))
		return -HNV_DROP_MAC_MISMATCH;
	pass->next_vsid = pass->vsid;
	pass->next_pa = record->pa;
	pass->next_mac = record->mac;
	return 0;
}

/* A packet to one of the router's own addresses. */
static __always_inline int router_local(struct __sk_buff *skb, struct pass *pass)
{
	if (pass_is_icmp(pass))
		return icmp_echo_reply(skb, pass);
	if (pass->protocol == IPPROTO_UDP)
		/* traceroute ends on this */
		return drop_with_error(pass, HNV_DROP_ROUTER_LOCAL, ERROR_NO_PORT);
	return -HNV_DROP_ROUTER_LOCAL;
}

/* The longest prefix of the subnet's own and the routing domain's routes; of two equal ones the subnet's. */
static __always_inline const struct hnv_route *route_best(struct pass *pass, const struct hnv_subnet *ingress)
{
	const struct hnv_route *domain = route_find(pass->rd, &pass->destination), *user;

	pass->destination_is_foreign = !domain || !route_is_on_link(domain);
	if (!(ingress->flags & HNV_SUBNET_USER_ROUTES))
		return domain;
	user = route_find(HNV_TABLE_USER | pass->vsid, &pass->destination);
	if (!user)
		return domain;
	return domain && domain->prefix_bits > user->prefix_bits ? domain : user;
}

/* RFC 1812 §5.2: local delivery, TTL, longest prefix, next hop. 0: the next hop is found; else the verdict. */
__noinline int router_lookup(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_subnet *ingress, *subnet;
	const struct hnv_lookup *record;
	const struct hnv_route *route;
	bool on_link, external;

	if (!pass)
		return -HNV_DROP_NO_ROUTE;
	ingress = subnet_find(pass->vsid);
	if (!ingress)
		return -HNV_DROP_NO_SUBNET;
	route = route_best(pass, ingress);
	if (route && route->flags & HNV_ROUTE_BLACKHOLE)
		return -HNV_DROP_BLACKHOLE;
	external = route && !addr_is_zero(&route->external_router);
	if ((!route || external) && addr_equal(&ingress->router, &pass->destination))
		return router_local(skb, pass);
	if (external) {
		pass->next_vsid = pass->vsid;
		pass->next_pa = route->external_router;
		return 0;
	}
	subnet = route ? subnet_find(route->vsid) : NULL;
	on_link = route && route_is_on_link(route);
	if (on_link && subnet && addr_equal(&subnet->router, &pass->destination))
		return router_local(skb, pass);
	if (pass->ttl <= 1)
		return drop_with_error(pass, HNV_DROP_TTL_EXCEEDED, ERROR_TTL_EXCEEDED);
	if (!route)
		return drop_with_error(pass, HNV_DROP_NO_ROUTE, ERROR_NO_ROUTE);
	/* A route may lead into no other routing domain, whatever the policy says. */
	if (!subnet || subnet->rd != pass->rd)
		return -HNV_DROP_NO_SUBNET;
	record = lookup_find(route->vsid, on_link ? &pass->destination : &route->next_hop);
	if (!record)
		return drop_with_error(pass, HNV_DROP_NO_RECORD, ERROR_NO_HOST);
	pass->next_vsid = route->vsid;
	pass->next_pa = record->pa;
	pass->next_mac = record->mac;
	pass->next_router_mac = subnet->router_mac;
	pass->is_routed = 1;
	return 0;
}

/* What a router changes: TTL, checksum, both MACs. The source becomes the router of the next hop's subnet. */
static __always_inline int router_rewrite(struct __sk_buff *skb, struct pass *pass)
{
	if (pass->ip_version == 4) {
		struct iphdr *ip = &pass->frame.ip4;
		__u16 *ttl_and_protocol = (__u16 *)&ip->ttl;
		__u16 before = *ttl_and_protocol;

		ip->ttl--;
		ip->check = csum_replace(ip->check, before, *ttl_and_protocol);
	} else {
		pass->frame.ip6.hop_limit--;
	}
	__builtin_memcpy(pass->frame.eth.h_source, pass->next_router_mac.byte, ETH_ALEN);
	__builtin_memcpy(pass->frame.eth.h_dest, pass->next_mac.byte, ETH_ALEN);
	return frame_store(skb, pass);
}

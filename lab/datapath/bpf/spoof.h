/* Who may send from which customer address: at the port, and from the provider network (RFC 7637 §5). */
#pragma once

#include "icmp.h"
#include "maps.h"
#include "nd.h"
#include "pass.h"

/* Where an address is on-link in a routing domain. */
struct ca_owner {
	bool on_link;
	bool is_router;                 /* a distributed router's own: has no record, is nobody's source */
	__u32 vsid;
	const struct hnv_lookup *record;
};

static __always_inline struct ca_owner ca_owner_find(__u32 rd, const struct hnv_addr *ca)
{
	const struct hnv_route *route = route_find(rd, ca);
	const struct hnv_subnet *subnet;
	struct ca_owner owner = {};

	if (!route || !route_is_on_link(route))
		return owner;
	owner.on_link = true;
	owner.vsid = route->vsid;
	owner.record = lookup_find(route->vsid, ca);
	if (owner.record)
		return owner;
	subnet = subnet_find(route->vsid);
	owner.is_router = subnet && addr_equal(&subnet->router, ca);
	return owner;
}

/* A VM sends from its own CA only. A compartment also carries what comes from outside the routing domain, an
 * appliance whatever is not the router's, and of the router's what it hands on: `routers_word` says that the packet is
 * one that a router sends in its own name. `foreign`: set when the source is no CA of the routing domain. */
static __always_inline int spoof_check(const struct hnv_vport *port, const struct hnv_addr *ca, bool routers_word,
				       __u8 *foreign)
{
	struct ca_owner owner;

	if (addr_equal(&port->ca, ca))
		return 0;
	if (!(port->flags & (HNV_PORT_GATEWAY | HNV_PORT_FORWARDING)))
		return -HNV_DROP_CA_SPOOF;
	owner = ca_owner_find(port->rd, ca);
	*foreign = !owner.record;
	if (port->flags & HNV_PORT_GATEWAY && !owner.on_link)
		return 0;
	if (!(port->flags & HNV_PORT_FORWARDING) || !addr_is_station(ca) || (owner.is_router && !routers_word))
		return -HNV_DROP_CA_SPOOF;
	return 0;
}

/* The same of a packet, whose source MAC is the port's. */
static __always_inline int spoof_check_port(struct pass *pass, const struct hnv_vport *port)
{
	if (port->flags & HNV_PORT_ROUTER && nd_is_from_link_local(pass))
		return 0;
	return spoof_check(port, &pass->source, icmp_is_routers(pass), &pass->source_is_foreign);
}

/* From the wire: what one of the tenant's own routers says to its link. The distributed router says nothing of the
 * kind, and is told nothing. */
static __always_inline bool spoof_is_link_local(const struct pass *pass, const struct hnv_subnet *subnet)
{
	return nd_is_from_link_local(pass) && !mac_equal(pass->frame.eth.h_source, subnet->router_mac.byte) &&
	       !mac_equal(pass->frame.eth.h_dest, subnet->router_mac.byte);
}

/* The inner source must live at exactly the PA that the packet came from, and bear its own MAC or the MAC of
 * the subnet's router; an appliance, or a gateway that routes for all, speaks for others; what lives nowhere in
 * the routing domain comes from a gateway only. */
static __always_inline int spoof_check_wire(struct pass *pass, const struct hnv_subnet *subnet, __u32 member_flags)
{
	const __u8 *mac = pass->frame.eth.h_source;
	struct ca_owner owner;

	if (mac_is_multicast(mac))
		return -HNV_DROP_MAC_SPOOF;
	if (spoof_is_link_local(pass, subnet))
		return 0;
	owner = ca_owner_find(pass->rd, &pass->source);
	pass->source_is_foreign = !owner.record;
	if (!owner.on_link)
		return member_flags & HNV_MEMBER_GATEWAY ? 0 : -HNV_DROP_CA_SPOOF;
	if (!owner.record)
		return owner.is_router && member_flags & HNV_MEMBER_FORWARDER && icmp_is_routers(pass) ?
			       0 : -HNV_DROP_CA_SPOOF;
	if (member_flags & HNV_MEMBER_FORWARDER)
		return 0;
	if (!addr_equal(&owner.record->pa, &pass->peer_pa))
		return -HNV_DROP_CA_SPOOF;
	if (mac_equal(mac, subnet->router_mac.byte) ||
	    (owner.vsid == pass->vsid && mac_equal(mac, owner.record->mac.byte)))
		return 0;
	return -HNV_DROP_MAC_SPOOF;
}

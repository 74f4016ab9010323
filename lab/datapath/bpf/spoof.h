/* Who may send from which customer address: at the port, and from the provider network (RFC 7637 §5). */
#pragma once

#include "maps.h"
#include "pass.h"

/* The lookup record that owns `ca` in a routing domain, when `ca` is on-link there. `vsid`: its subnet.
 * `taken` is also true for a distributed router's own address, which has no record and may never be a source. */
struct ca_owner {
	const struct hnv_lookup *record;
	__u32 vsid;
	bool taken;
};

static __always_inline struct ca_owner ca_owner_find(__u32 rd, __be32 ca)
{
	struct hnv_addr addr = addr_from_ip4(ca);
	const struct hnv_route *route = route_find(rd, addr);
	const struct hnv_subnet *subnet;
	struct ca_owner owner = {};

	if (!route || !route_is_on_link(route))
		return owner;
	owner.vsid = route->vsid;
	owner.record = lookup_find(route->vsid, addr);
	subnet = subnet_find(route->vsid);
	owner.taken = owner.record || (subnet && addr_equal(&subnet->router, &addr));
	return owner;
}

/* A VM sends from its own CA only. A compartment also carries what comes from outside the routing domain. */
static __always_inline int spoof_check(const struct hnv_vport *port, __be32 ca)
{
	if (addr_is_ip4(&port->ca, ca))
		return 0;
	if (!(port->flags & HNV_PORT_GATEWAY) || ca_owner_find(port->rd, ca).taken)
		return -HNV_DROP_CA_SPOOF;
	return 0;
}

/* The inner source must live at exactly the PA that the packet came from, and bear its own MAC or the MAC of
 * the subnet's router; what lives nowhere in the routing domain comes from a gateway only. */
static __always_inline int spoof_check_wire(const struct pass *pass, const struct hnv_subnet *subnet,
					    struct hnv_addr outer_source, __u32 member_flags)
{
	const struct frame *inner = &pass->frame;
	struct ca_owner owner = ca_owner_find(pass->rd, inner->ip.saddr);

	if (mac_is_multicast(inner->eth.h_source))
		return -HNV_DROP_MAC_SPOOF;
	if (!owner.record)
		return owner.taken || !(member_flags & HNV_MEMBER_GATEWAY) ? -HNV_DROP_CA_SPOOF : 0;
	if (!addr_equal(&owner.record->pa, &outer_source))
		return -HNV_DROP_CA_SPOOF;
	if (mac_equal(inner->eth.h_source, subnet->router_mac.byte) ||
	    (owner.vsid == pass->vsid && mac_equal(inner->eth.h_source, owner.record->mac.byte)))
		return 0;
	return -HNV_DROP_MAC_SPOOF;
}

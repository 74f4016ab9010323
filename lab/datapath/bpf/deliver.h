/* The last steps of every frame: to a port of this node, or to a PA. */
#pragma once

#include "acl.h"
#include "drop.h"
#include "meter.h"
#include "mtu.h"
#include "router.h"
#include "trace.h"
#include "tunnel.h"

/* To a port of `vsid`, if it is one and the frame fits into it. The tables that lead to a port change one after the
 * other: one of them may still name a port that is in another subnet by now, perhaps another tenant's.
 * `vsid` is not looked at again: kept, it would cost a stack that Linux 6.1, by 32 octets a step, counts as full. */
__noinline int deliver_port(struct __sk_buff *skb, struct pass *pass, __u32 ifindex, __u32 vsid)
{
	const struct hnv_vport *port = vport_find(ifindex);
	int error;

	if (!pass || !port || port->vsid != vsid)
		return -HNV_DROP_PORT_ABSENT;
	error = mtu_check(skb, pass, ifindex, 0);
	if (!error && pass->is_routed)
		error = router_rewrite(skb, pass);
	if (!error)
		error = acl_inbound(skb, pass, ifindex, port->acl);
	if (error)
		return error;
	meter_add(pass, ifindex, HNV_ACL_INBOUND, skb->len);
	trace_stage(skb, pass, HNV_STAGE_VPORT_OUT, ifindex, NULL);
	return redirect_vport(skb, pass, port->vsid, ifindex);
}

/* By encapsulation. */
static __always_inline int deliver_wire(struct __sk_buff *skb, struct pass *pass,
					const struct hnv_settings *settings)
{
	__u32 hash = flow_hash(pass), uplink = team_uplink(settings, pass, hash);
	int error;

	if (!uplink)
		return -HNV_DROP_NO_UPLINK;
	error = mtu_check(skb, pass, uplink, tunnel_overhead(settings));
	if (!error && pass->is_routed)
		error = router_rewrite(skb, pass);
	if (error)
		return error;
	/* A flooded frame has been metered, once for all its copies. */
	if (pass->port && !pass->is_flood)
		meter_add(pass, pass->port, HNV_ACL_OUTBOUND, skb->len);
	return tunnel_send(skb, pass, hash, uplink);
}

static __always_inline int deliver_here(struct __sk_buff *skb, struct pass *pass)
{
	__u32 ifindex = local_find(pass->next_vsid, pass->next_mac.byte);
	int error;

	if (!ifindex)
		return -HNV_DROP_PORT_ABSENT;
	error = deliver_port(skb, pass, ifindex, pass->next_vsid);
	if (error == TC_ACT_REDIRECT && pass->port)
		meter_add(pass, pass->port, HNV_ACL_OUTBOUND, skb->len);
	return error;
}

/* To the next hop that has been found: a port of this node without encapsulation, or a PA. */
__noinline int deliver(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_settings *settings = settings_get();

	if (!pass || !settings || addr_is_zero(&pass->own_pa))
		return -HNV_DROP_NO_UPLINK;
	trace_stage(skb, pass, HNV_STAGE_LOOKUP, 0, &pass->next_pa);
	if (addr_equal(&pass->next_pa, &pass->own_pa) || provider_find(&pass->next_pa))
		return deliver_here(skb, pass);
	return deliver_wire(skb, pass, settings);
}

/* Route or switch the frame by its destination MAC. */
static __always_inline int forward(struct __sk_buff *skb, struct pass *pass, const struct hnv_subnet *subnet)
{
	int verdict;

	if (mac_equal(pass->frame.eth.h_dest, subnet->router_mac.byte)) {
		verdict = router_lookup(skb, pass);
		if (!verdict)
			trace_stage(skb, pass, HNV_STAGE_ROUTED, pass->next_vsid, NULL);
	} else {
		verdict = switch_lookup(pass);
		if (!verdict)
			trace_stage(skb, pass, HNV_STAGE_SWITCHED, 0, NULL);
	}
	return verdict ? verdict : deliver(skb, pass);
}

/* The WNV filter: the data plane of Hyper-V Network Virtualization on hosts and gateways.
 *
 * `vport` stands at the switch's end of every VM's cable, `shaped` behind the shaping device, `uplink` at the provider
 * interfaces; all see what comes in (tc or TCX ingress). Nothing else forwards: a frame that none of them redirects is
 * gone, counted with its reason. Policy is what the maps hold (maps.h); user space fills them (lab/datapath/switch.py).
 * docs/datapath.md says what becomes of a frame, rule by rule.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "arp.h"
#include "deliver.h"
#include "drop.h"
#include "event.h"
#include "flood.h"
#include "guard.h"
#include "icmp4.h"
#include "icmp6.h"
#include "nd.h"
#include "parse.h"
#include "qos.h"
#include "router.h"
#include "spoof.h"
#include "storm.h"
#include "trace.h"
#include "tunnel.h"

/* What is owed to the sender of a packet that ended; the verdict of the frame that was. */
static __always_inline int answer_error(struct __sk_buff *skb, struct pass *pass, int verdict)
{
	int answer;

	if (!pass->error || !icmp_error_is_due(pass) || !storm_icmp_allowed(pass))
		return verdict;
	answer = pass->ip_version == 4 ? icmp4_error(skb, pass) : icmp6_error(skb, pass);
	return answer == TC_ACT_REDIRECT ? answer : verdict;
}

static __always_inline int finish(struct __sk_buff *skb, struct pass *pass, int verdict)
{
	enum hnv_drop reason = verdict < 0 ? -verdict : HNV_FORWARDED;

	if (verdict < 0) {
		event_drop(skb, pass, reason);
		trace_stage(skb, pass, HNV_STAGE_DROP, reason, NULL);
		verdict = answer_error(skb, pass, verdict);
	}
	return conclude(skb, pass, verdict, reason);
}

/* To every other member of the subnet. */
static __always_inline int vport_flood(struct __sk_buff *skb, struct pass *pass, const struct hnv_vport *port)
{
	int error;

	pass->is_flood = 1;
	if (skb->mark)
		return flood_copy(skb, pass);
	error = storm_check(pass, port);
	if (!error)
		error = acl_outbound(skb, pass, port->acl);
	if (error)
		return error;
	error = flood(skb, pass);
	if (error == TC_ACT_SHOT)
		meter_add(pass, pass->port, HNV_ACL_OUTBOUND, skb->len);
	return error;
}

/* Rules 5 to 10: may the VM send this? 0: yes, and it goes on at once. */
static __always_inline int vport_judge(struct __sk_buff *skb, struct pass *pass, const struct hnv_vport *port)
{
	int error;

	if (nd_is(pass)) {
		error = nd_answer(skb, pass);
		if (error)
			return error;
	}
	error = spoof_check_port(pass, port);
	if (!error)
		error = guard_check(pass, port);
	if (error)
		return error;
	if (mac_is_multicast(pass->frame.eth.h_dest) || addr_is_many(&pass->destination))
		return vport_flood(skb, pass, port);
	if (addr_is_nobody(&pass->destination))
		return -HNV_DROP_BUM;
	error = acl_outbound(skb, pass, port->acl);
	if (error)
		return error;
	if (!port->qos_class)
		return 0;
	error = qos_shape(skb, pass, port);
	/* It is counted when it comes out of the shaping device. */
	pass->is_counted = error == TC_ACT_REDIRECT;
	return error;
}

/* Rules 1 to 4, then the rest; `shaped`: the frame has been judged before. */
static __always_inline int vport_ingress(struct __sk_buff *skb, struct pass *pass, __u32 ifindex, bool shaped)
{
	const struct hnv_vport *port = vport_find(ifindex);
	const struct hnv_subnet *subnet;
	int verdict;

	if (!port)
		return -HNV_DROP_PORT_BLOCKED;
	pass->port = ifindex;
	pass->vsid = port->vsid;
	pass->rd = port->rd;
	pass->own_pa = port->pa;
	pass->may_answer = 1;
	subnet = subnet_find(port->vsid);
	if (!subnet)
		return -HNV_DROP_NO_SUBNET;
	verdict = parse_head(skb, pass);
	if (verdict)
		return verdict;
	if (skb->vlan_present)
		return -HNV_DROP_VLAN;
	if (!mac_equal(pass->frame.eth.h_source, port->mac.byte))
		return -HNV_DROP_MAC_SPOOF;
	if (pass->frame.eth.h_proto == bpf_htons(ETH_P_ARP))
		return addr_is_mapped(&subnet->router) ? arp_answer(skb, pass) : -HNV_DROP_IP_VERSION;
	verdict = parse_ip(skb, pass, &subnet->router, HNV_DROP_VLAN);
	if (verdict)
		return verdict;
	pass->packets = gso_packets(skb, pass);
	trace_begin(skb, pass);
	if (shaped) {
		pass->is_counted = 1;
		verdict = spoof_check_port(pass, port);
	} else {
		trace_stage(skb, pass, HNV_STAGE_VPORT_IN, ifindex, NULL);
		verdict = vport_judge(skb, pass, port);
	}
	return verdict ? verdict : forward(skb, pass, subnet);
}

SEC("tc")
int vport(struct __sk_buff *skb)
{
	struct pass *pass;

	if (is_again(skb))
		return redirect_marked(skb);
	pass = pass_begin(skb, HNV_VPORT_IN);
	if (!pass)
		return TC_ACT_SHOT;
	return finish(skb, pass, vport_ingress(skb, pass, skb->ifindex, false));
}

SEC("tc")
int shaped(struct __sk_buff *skb)
{
	struct pass *pass;
	__u32 ifindex = skb->mark;

	if (is_again(skb))
		return redirect_marked(skb);
	pass = pass_begin(skb, HNV_VPORT_IN);
	if (!pass)
		return TC_ACT_SHOT;
	skb->mark = 0;
	return finish(skb, pass, vport_ingress(skb, pass, ifindex, true));
}

/* The port that an inner frame is for. A compartment or an appliance takes what its MAC is on, whatever the address
 * behind it. */
static __always_inline int wire_destination(const struct pass *pass, __u32 *ifindex)
{
	const struct hnv_vport *port;

	*ifindex = local_find(pass->vsid, pass->frame.eth.h_dest);
	port = *ifindex ? vport_find(*ifindex) : NULL;
	if (!port || port->vsid != pass->vsid)
		return -HNV_DROP_NOT_LOCAL;
	if (port->flags & (HNV_PORT_GATEWAY | HNV_PORT_FORWARDING) || addr_equal(&port->ca, &pass->destination))
		return 0;
	return -HNV_DROP_NOT_LOCAL;
}

/* Rules 3 to 5: may this come from there? */
static __always_inline int wire_judge(struct __sk_buff *skb, struct pass *pass, const struct hnv_subnet *subnet)
{
	const __u32 *member_flags = member_find(subnet->rd, &pass->peer_pa);
	int error;

	if (!member_flags || provider_find(&pass->peer_pa))
		return -HNV_DROP_PA_SPOOF;
	error = parse_head(skb, pass);
	if (!error)
		error = parse_ip(skb, pass, &subnet->router, HNV_DROP_INNER_VLAN);
	if (error)
		return error;
	pass->packets = gso_packets(skb, pass);
	trace_begin(skb, pass);
	trace_stage(skb, pass, HNV_STAGE_WIRE_IN, skb->ifindex, &pass->peer_pa);
	return spoof_check_wire(pass, subnet, *member_flags);
}

/* Rules 6 to 8: where does it go? */
static __always_inline int wire_forward(struct __sk_buff *skb, struct pass *pass,
					const struct hnv_settings *settings, const struct hnv_subnet *subnet,
					__u8 outer_tos)
{
	int tos = tos_inner(pass, settings, outer_tos), error;
	bool routes = false;
	__u32 port = 0;

	if (tos < 0)
		return tos;
	pass->is_flood = mac_is_multicast(pass->frame.eth.h_dest) || addr_is_many(&pass->destination);
	if (pass->is_flood) {
		if (!skb->mark)
			return flood(skb, pass);
	} else {
		routes = settings->flags & HNV_SETTINGS_EXTERNAL_ROUTER &&
			 mac_equal(pass->frame.eth.h_dest, subnet->router_mac.byte);
		error = routes ? 0 : wire_destination(pass, &port);
		if (error)
			return error;
	}
	error = tunnel_strip(skb, pass, settings, tos, routes);
	if (error)
		return error;
	trace_stage(skb, pass, HNV_STAGE_DECAP, pass->vsid, NULL);
	if (pass->is_flood)
		return flood_copy(skb, pass);
	if (routes) {
		pass->may_answer = 1;
		error = router_lookup(skb, pass);
		if (!error)
			trace_stage(skb, pass, HNV_STAGE_ROUTED, pass->next_vsid, NULL);
		return error ? error : deliver(skb, pass);
	}
	return deliver_port(skb, pass, port, pass->vsid);
}

static __always_inline int uplink_ingress(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_settings *settings = settings_get();
	const struct hnv_subnet *subnet;
	__u32 vsid;
	__u8 tos;
	int error;

	if (!settings || skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
		return TC_ACT_OK;
	error = tunnel_parse(skb, pass, settings, &tos, &vsid);
	if (error)
		return error > 0 ? TC_ACT_OK : error;
	subnet = subnet_find(vsid);
	if (!subnet)
		return -HNV_DROP_NO_SUBNET;
	pass->vsid = vsid;
	pass->rd = subnet->rd;
	pass->eth_offset = tunnel_overhead(settings);
	error = wire_judge(skb, pass, subnet);
	return error ? error : wire_forward(skb, pass, settings, subnet, tos);
}

SEC("tc")
int uplink(struct __sk_buff *skb)
{
	struct pass *pass = pass_begin(skb, HNV_WIRE_IN);
	int verdict;

	if (!pass)
		return TC_ACT_SHOT;
	verdict = uplink_ingress(skb, pass);
	return verdict == TC_ACT_OK ? TC_ACT_OK : finish(skb, pass, verdict);
}

char _license[] SEC("license") = "GPL";

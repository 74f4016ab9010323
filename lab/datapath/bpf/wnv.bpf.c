/* The WNV filter: the data plane of Hyper-V Network Virtualization on hosts and gateways.
 *
 * `vport` stands at the switch's end of every VM's cable, `uplink` at the provider interface; both see what
 * comes in (tc or TCX ingress). Nothing else forwards: a frame that neither redirects is gone, counted with
 * its reason. Policy is what the maps hold (maps.h); user space fills them (lab/datapath/switch.py).
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "arp.h"
#include "drop.h"
#include "gso.h"
#include "icmp.h"
#include "maps.h"
#include "nvgre.h"
#include "parse.h"
#include "router.h"
#include "spoof.h"

static __always_inline bool is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/* Ethertypes that carry no IPv4. 0: it is IPv4. */
static __always_inline int reject_other_than_ip4(__be16 protocol, enum hnv_drop tagged)
{
	if (protocol == bpf_htons(ETH_P_IP))
		return 0;
	if (is_vlan(protocol))
		return -(int)tagged;
	return protocol == bpf_htons(ETH_P_IPV6) ? -HNV_DROP_NON_IP4 : -HNV_DROP_NON_IP;
}

/* Send a frame to where its path leads: a port of this node without encapsulation, or a PA. */
static __always_inline int deliver(struct __sk_buff *skb, struct pass *pass, const struct path *path)
{
	const struct hnv_settings *settings = settings_get();
	struct frame out = pass->frame;
	__u32 port = 0;
	bool local;
	int error;

	if (!settings || addr_is_zero(&settings->pa))
		return -HNV_DROP_NO_UPLINK;
	local = addr_equal(&path->to.pa, &settings->pa);
	if (local) {
		port = local_find(path->vsid, path->to.mac);
		if (!port)
			return -HNV_DROP_PORT_ABSENT;
	} else if (!settings->uplink) {
		/* To the kernel's helpers interface 0 is the one that the frame came from. */
		return -HNV_DROP_NO_UPLINK;
	}
	error = local ? mtu_check(skb, pass, port, 0) : mtu_check(skb, pass, settings->uplink, NVGRE_OVERHEAD);
	if (error)
		return error;
	if (path->routed) {
		error = router_rewrite(skb, path, &out);
		if (error)
			return error;
	}
	if (local)
		return redirect_to(skb, pass, HNV_VPORT_OUT, path->vsid, port);
	return nvgre_send(skb, pass, settings, path->vsid, path->to.pa, &out.eth);
}

static __always_inline int vport_ingress(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_vport *port = vport_find(skb->ifindex);
	const struct hnv_subnet *subnet;
	struct path path = {};
	int error;

	if (!port)
		return -HNV_DROP_PORT_BLOCKED;
	pass->vsid = port->vsid;
	pass->rd = port->rd;
	subnet = subnet_find(port->vsid);
	if (!subnet)
		return -HNV_DROP_NO_SUBNET;
	error = parse_ethernet(skb, 0, &pass->frame.eth);
	if (error)
		return error;
	if (skb->vlan_present)
		return -HNV_DROP_VLAN;
	if (!mac_equal(pass->frame.eth.h_source, port->mac.byte))
		return -HNV_DROP_MAC_SPOOF;
	if (pass->frame.eth.h_proto == bpf_htons(ETH_P_ARP))
		return arp_answer(skb, pass, port, subnet);
	error = reject_other_than_ip4(pass->frame.eth.h_proto, HNV_DROP_VLAN);
	if (error)
		return error;
	error = parse_ip4(skb, sizeof(struct ethhdr), &pass->frame.ip);
	if (error)
		return error;
	pass->packets = gso_packets(skb, pass->gso_size, sizeof(struct ethhdr), &pass->frame.ip);
	error = spoof_check(port, pass->frame.ip.saddr);
	if (error)
		return error;
	if (mac_is_multicast(pass->frame.eth.h_dest) || !ip4_is_unicast(pass->frame.ip.daddr))
		return -HNV_DROP_BUM;
	if (mac_equal(pass->frame.eth.h_dest, subnet->router_mac.byte))
		error = router_lookup(skb, pass, &path);
	else
		error = switch_lookup(pass, &path);
	return error ? error : deliver(skb, pass, &path);
}

SEC("tc")
int vport(struct __sk_buff *skb)
{
	struct pass pass = { .packets = 1, .gso_size = skb->gso_size };
	__u32 bytes_in = skb->len;
	int verdict = vport_ingress(skb, &pass);
	int reason = verdict < 0 ? -verdict : HNV_FORWARDED;

	if (verdict < 0 && pass.error.type)
		verdict = icmp_error(skb, &pass);
	return conclude(skb, &pass, HNV_VPORT_IN, bytes_in, verdict, reason);
}

/* The port that an inner frame is for. A compartment takes what its MAC is on, whatever the address behind it. */
static __always_inline int wire_destination(const struct pass *pass, __u32 *ifindex)
{
	const struct hnv_vport *port;

	*ifindex = local_find(pass->vsid, mac_of(pass->frame.eth.h_dest));
	port = *ifindex ? vport_find(*ifindex) : NULL;
	if (!port || port->vsid != pass->vsid)
		return -HNV_DROP_NOT_LOCAL;
	if (port->flags & HNV_PORT_GATEWAY || addr_is_ip4(&port->ca, pass->frame.ip.daddr))
		return 0;
	return -HNV_DROP_NOT_LOCAL;
}

static __always_inline int uplink_ingress(struct __sk_buff *skb, struct pass *pass)
{
	const __u32 inner = sizeof(struct ethhdr) + offsetof(struct nvgre_header, inner);
	const struct hnv_settings *settings = settings_get();
	const struct hnv_subnet *subnet;
	const __u32 *member_flags;
	struct iphdr outer;
	__u32 vsid, port;
	int error;

	if (!settings || skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
		return TC_ACT_OK;
	error = nvgre_parse(skb, settings, &outer, &vsid);
	if (error)
		return error > 0 ? TC_ACT_OK : error;
	subnet = subnet_find(vsid);
	if (!subnet)
		return -HNV_DROP_NO_SUBNET;
	pass->vsid = vsid;
	pass->rd = subnet->rd;
	member_flags = member_find(subnet->rd, addr_from_ip4(outer.saddr));
	if (!member_flags || addr_is_ip4(&settings->pa, outer.saddr))
		return -HNV_DROP_PA_SPOOF;
	error = parse_ethernet(skb, inner, &pass->frame.eth);
	if (error)
		return error;
	error = reject_other_than_ip4(pass->frame.eth.h_proto, HNV_DROP_INNER_VLAN);
	if (error)
		return error;
	error = parse_ip4(skb, inner + sizeof(struct ethhdr), &pass->frame.ip);
	if (error)
		return error;
	pass->packets = gso_packets(skb, pass->gso_size, inner + sizeof(struct ethhdr), &pass->frame.ip);
	error = spoof_check_wire(pass, subnet, addr_from_ip4(outer.saddr), *member_flags);
	if (error)
		return error;
	error = wire_destination(pass, &port);
	if (error)
		return error;
	error = nvgre_strip(skb, pass, outer.tos);
	if (error)
		return error;
	error = mtu_check(skb, pass, port, 0);
	return error ? error : redirect_to(skb, pass, HNV_VPORT_OUT, vsid, port);
}

SEC("tc")
int uplink(struct __sk_buff *skb)
{
	struct pass pass = { .packets = 1, .gso_size = skb->gso_size };
	__u32 bytes_in = skb->len;
	int verdict = uplink_ingress(skb, &pass);

	if (verdict == TC_ACT_OK)
		return TC_ACT_OK;
	return conclude(skb, &pass, HNV_WIRE_IN, bytes_in, verdict, verdict < 0 ? -verdict : HNV_FORWARDED);
}

char _license[] SEC("license") = "GPL";

/* The gateway's front end: GRE tunnels and tenants' VLANs, told apart without any device of the kernel's for them.
 *
 * `front_end` stands at the front-end interface, `leg` at the outer end of every connection's veth pair, whose inner
 * end is in the tenant's compartment; both see what comes in (tc or TCX ingress). `access_in` and `access_out` make
 * a port of a bridge that knows no VLANs an access port of one. docs/front-end.md says what becomes of a frame, rule
 * by rule; user space fills the maps (lab/datapath/front_end.py, access_port.py).
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fe_frame.h"
#include "fe_gre.h"
#include "fe_vlan.h"

static __always_inline int front_end_ingress(struct __sk_buff *skb, struct crossing *crossing)
{
	struct tag tag = tag_of(skb);
	int error;

	if (tag.is_present) {
		if (tag.vlan || !tag.is_customer)
			return vlan_in(skb, crossing, &tag);
		error = tag_strip(skb);
		if (error)
			return error;
	}
	return gre_in(skb, crossing);
}

SEC("tc")
int front_end(struct __sk_buff *skb)
{
	struct crossing crossing = { .direction = HNV_FE_IN, .leg = skb->ifindex, .packets = 1, .bytes = skb->len };
	int verdict = front_end_ingress(skb, &crossing);

	return verdict == TC_ACT_OK ? TC_ACT_OK : finish(&crossing, verdict);
}

static __always_inline int leg_ingress(struct __sk_buff *skb, struct crossing *crossing)
{
	const struct hnv_fe_leg *leg = leg_find(skb->ifindex);

	if (!leg)
		return -HNV_FE_DROP_NO_LEG;
	if (tag_of(skb).is_present)
		return -HNV_FE_DROP_TAGGED;
	return leg->vlan ? vlan_out(skb, crossing, leg) : gre_out(skb, crossing, leg);
}

SEC("tc")
int leg(struct __sk_buff *skb)
{
	struct crossing crossing = { .direction = HNV_FE_OUT, .leg = skb->ifindex, .packets = 1, .bytes = skb->len };

	if (skb->mark & MARK_AGAIN)
		return gre_marked(skb);
	return finish(&crossing, leg_ingress(skb, &crossing));
}

static __always_inline int access_ingress(struct __sk_buff *skb, struct crossing *crossing)
{
	__u32 vlan = access_find(skb->ifindex);
	struct tag tag = tag_of(skb);
	int error;

	if (!vlan)
		return -HNV_FE_DROP_NO_LEG;
	if (tag.is_present) {
		if (tag.vlan || !tag.is_customer)
			return -HNV_FE_DROP_TAGGED;
		error = tag_strip(skb);
		if (error)
			return error;
	}
	measure(skb, crossing, sizeof(struct ethhdr));
	if (vlan == HNV_FE_UNTAGGED)
		return TC_ACT_OK;
	return bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), vlan) ? -HNV_FE_DROP_ENCAP : TC_ACT_OK;
}

SEC("tc")
int access_in(struct __sk_buff *skb)
{
	struct crossing crossing = { .direction = HNV_FE_IN, .leg = skb->ifindex, .packets = 1, .bytes = skb->len };

	return finish(&crossing, access_ingress(skb, &crossing));
}

static __always_inline int access_egress(struct __sk_buff *skb, struct crossing *crossing)
{
	__u32 vlan = access_find(skb->ifindex);
	struct tag tag = tag_of(skb);
	int error;

	if (!vlan)
		return -HNV_FE_DROP_NO_LEG;
	if (vlan == HNV_FE_UNTAGGED) {
		if (tag.is_present)
			return -HNV_FE_DROP_OTHER_VLAN;
	} else {
		if (!tag.is_customer || tag.vlan != vlan)
			return -HNV_FE_DROP_OTHER_VLAN;
		error = tag_strip(skb);
		if (error)
			return error;
	}
	measure(skb, crossing, sizeof(struct ethhdr));
	return TC_ACT_OK;
}

/* Egress. */
SEC("tc")
int access_out(struct __sk_buff *skb)
{
	struct crossing crossing = { .direction = HNV_FE_OUT, .leg = skb->ifindex, .packets = 1, .bytes = skb->len };

	return finish(&crossing, access_egress(skb, &crossing));
}

char _license[] SEC("license") = "GPL";

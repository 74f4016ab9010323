/* Connections in a VLAN of their own (IEEE 802.1Q): whole frames, whatever is in them. */
#pragma once

#include "fe_frame.h"

static __always_inline int vlan_in(struct __sk_buff *skb, struct crossing *crossing, const struct tag *tag)
{
	const struct hnv_fe_leg *leg;
	__u32 ifindex = tag->is_customer ? vlan_find(tag->vlan) : 0;
	int error;

	if (!ifindex)
		return -HNV_FE_DROP_VLAN_UNKNOWN;
	leg = leg_find(ifindex);
	/* The tables change one after the other: this one may name a leg that is in another VLAN by now. */
	if (!leg || leg->vlan != tag->vlan)
		return -HNV_FE_DROP_NO_LEG;
	crossing->leg = ifindex;
	error = tag_strip(skb);
	if (!error)
		error = fits(skb, ifindex, measure(skb, crossing, sizeof(struct ethhdr)));
	return error ? error : redirect_to(skb, ifindex);
}

static __always_inline int vlan_out(struct __sk_buff *skb, struct crossing *crossing, const struct hnv_fe_leg *leg)
{
	__u32 front_end = leg->front_end, vlan = leg->vlan;
	int error = fits(skb, front_end, measure(skb, crossing, sizeof(struct ethhdr)));

	if (error)
		return error;
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), vlan))
		return -HNV_FE_DROP_ENCAP;
	return redirect_to(skb, front_end);
}

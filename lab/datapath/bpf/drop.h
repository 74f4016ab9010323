/* The end of every pass: the only place that drops, and that counts. */
#pragma once

#include "event.h"
#include "metrics.h"
#include "pass.h"

/* For BPF_PROG_TEST_RUN: where a frame was sent, which no other output of the program tells. */
#define CB_OUT_IFINDEX 0

/* skb->mark of frames that this switch sends round through an interface of its own. VMs cannot set it: the kernel
 * clears marks of what crosses from one network namespace into another.
 * 1 to HNV_FLOOD_MAX + 1: copy for the receiver of that number - 1. AGAIN | ifindex: is encapsulated, leave there. */
#define MARK_AGAIN 0x80000000u

#define FAMILY_IP4 2                    /* AF_INET */

/* Towards the fabric: the kernel's neighbours know the next hop's MAC, and queue what waits for ARP. Its routes would
 * find the same next hop, for a tenth of a packet's time. */
static __always_inline int redirect_wire(struct __sk_buff *skb, struct pass *pass, const struct hnv_settings *settings,
					 __u32 ifindex)
{
	struct scratch *mine = scratch_get();
	__be32 pa = pass->next_pa.word[3], next_hop;

	if (!mine)
		return -HNV_DROP_NO_UPLINK;
	pass->out_direction = HNV_WIRE_OUT;
	pass->out_vsid = pass->next_vsid;
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	next_hop = settings->pa_mask && (pa & settings->pa_mask) == settings->pa_network ? pa : settings->pa_gateway;
	if (!next_hop)
		return bpf_redirect_neigh(ifindex, NULL, 0, 0);
	mine->next_hop.nh_family = FAMILY_IP4;
	mine->next_hop.ipv4_nh = next_hop;
	return bpf_redirect_neigh(ifindex, &mine->next_hop, sizeof(mine->next_hop), 0);
}

static __always_inline int redirect_vport(struct __sk_buff *skb, struct pass *pass, __u32 vsid, __u32 ifindex)
{
	pass->out_direction = HNV_VPORT_OUT;
	pass->out_vsid = vsid;
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	return bpf_redirect(ifindex, 0);
}

/* Encapsulated, but still an IPv6 packet to the kernel: it learns better when it receives the packet anew. */
static __always_inline int redirect_again(struct __sk_buff *skb, struct pass *pass, __u32 vsid, __u32 ifindex)
{
	__be16 protocol = bpf_htons(ETH_P_IP);

	if (bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol), 0))
		return -HNV_DROP_ENCAP;
	pass->out_direction = HNV_WIRE_OUT;
	pass->out_vsid = vsid;
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	skb->mark = MARK_AGAIN | ifindex;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

static __always_inline bool is_again(const struct __sk_buff *skb)
{
	return skb->mark & MARK_AGAIN;
}

/* The second half of redirect_again: everything has been counted. */
static __always_inline int redirect_marked(struct __sk_buff *skb)
{
	__u32 ifindex = skb->mark & ~MARK_AGAIN;

	skb->mark = 0;
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	return bpf_redirect_neigh(ifindex, NULL, 0, 0);
}

/* `verdict`: below 0 the negative of a drop reason; `reason`: why the frame that came ended, though an answer may
 * be what goes out now. */
static __always_inline int conclude(struct __sk_buff *skb, struct pass *pass, int verdict, enum hnv_drop reason)
{
	if (reason || !pass->is_counted)
		metrics_add(reason, pass->direction, pass->vsid, pass->packets, pass->length);
	if (verdict < 0)
		return TC_ACT_SHOT;
	if (verdict == TC_ACT_REDIRECT && pass->out_vsid)
		metrics_add(HNV_FORWARDED, pass->out_direction, pass->out_vsid, pass->packets, skb->len);
	return verdict;
}

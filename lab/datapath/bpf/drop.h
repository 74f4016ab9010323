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

static __always_inline int redirect_to(struct __sk_buff *skb, struct pass *pass, enum hnv_direction direction,
				       __u32 vsid, __u32 ifindex)
{
	pass->out_direction = direction;
	pass->out_vsid = vsid;
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	/* Towards the fabric the kernel's routes and neighbours know the PA's MAC; it queues what waits for ARP. */
	return direction == HNV_WIRE_OUT ? bpf_redirect_neigh(ifindex, NULL, 0, 0) : bpf_redirect(ifindex, 0);
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

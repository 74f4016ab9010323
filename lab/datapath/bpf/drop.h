/* The end of every pass: the only place that drops, and that counts. */
#pragma once

#include "metrics.h"
#include "pass.h"

/* For BPF_PROG_TEST_RUN: where a frame was sent, which no other output of the program tells. */
#define CB_OUT_IFINDEX 0

static __always_inline int redirect_to(struct __sk_buff *skb, struct pass *pass, enum hnv_direction direction,
				       __u32 vsid, __u32 ifindex)
{
	pass->out_direction = direction;
	pass->out_vsid = vsid;
	skb->cb[CB_OUT_IFINDEX] = ifindex;
	/* Towards the fabric the kernel's routes and neighbours know the PA's MAC; it queues what waits for ARP. */
	return direction == HNV_WIRE_OUT ? bpf_redirect_neigh(ifindex, NULL, 0, 0) : bpf_redirect(ifindex, 0);
}

static __always_inline int conclude(struct __sk_buff *skb, struct pass *pass, enum hnv_direction direction,
				    __u32 bytes_in, int verdict, int reason)
{
	metrics_add(reason, direction, pass->vsid, pass->packets, bytes_in);
	if (verdict != TC_ACT_REDIRECT)
		return TC_ACT_SHOT;
	metrics_add(HNV_FORWARDED, pass->out_direction, pass->out_vsid, pass->packets, skb->len);
	return verdict;
}

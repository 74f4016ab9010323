/* Broadcast and multicast by unicast replication (RFC 7637 §4.2), inside the VSID.
 *
 * A frame for many is sent round through the device that it came from, once for each receiver, with the receiver's
 * number in skb->mark; each copy is then a frame with one receiver. So every way out is open to it, the
 * kernel's neighbour resolution too, which only a program's verdict reaches and no cloning helper.
 */
#pragma once

#include "deliver.h"
#include "storm.h"

/* Is receiver `index` one that a frame goes on to: from a port to everybody else, from the wire to ports only. */
static __always_inline bool flood_is_wanted(const struct pass *pass, const struct hnv_flood *receiver)
{
	if (addr_is_zero(&receiver->pa))
		return receiver->ifindex != pass->port;
	return pass->port && !addr_equal(&receiver->pa, &pass->own_pa);
}

struct flood_round {
	struct __sk_buff *skb;
	const struct pass *pass;
	__u32 copies;
	bool send;
};

/* One receiver of a round (bpf_loop); 1 ends it. */
static int flood_step(__u32 index, void *context)
{
	struct flood_round *round = context;
	const struct pass *pass = round->pass;
	const struct hnv_flood *receiver = flood_find(pass->vsid, index);

	if (!receiver)
		return 1;
	if (!flood_is_wanted(pass, receiver))
		return 0;
	round->copies++;
	if (!round->send)
		return 0;
	round->skb->mark = index + 1;
	if (bpf_clone_redirect(round->skb, round->skb->ifindex, BPF_F_INGRESS) < 0)
		metrics_add(HNV_DROP_ENCAP, pass->direction, pass->vsid, pass->packets, pass->length);
	return 0;
}

/* Returns TC_ACT_SHOT when the copies are on their way: the frame itself ends here. */
__noinline int flood(struct __sk_buff *skb, struct pass *pass)
{
	struct flood_round round = { .skb = skb, .pass = pass };

	if (!pass)
		return -HNV_DROP_BUM;
	/* One more than may be sent to, and the sender, which can be among them. */
	bpf_loop(HNV_FLOOD_MAX + 2, flood_step, &round, 0);
	if (!round.copies || round.copies > HNV_FLOOD_MAX)
		return -HNV_DROP_BUM;
	round.send = true;
	bpf_loop(HNV_FLOOD_MAX + 1, flood_step, &round, 0);
	skb->mark = 0;
	return TC_ACT_SHOT;
}

/* A copy: to the receiver whose number it bears. */
__noinline int flood_copy(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_flood *receiver;
	struct hnv_addr pa;
	__u32 ifindex;

	if (!pass)
		return -HNV_DROP_BUM;
	receiver = flood_find(pass->vsid, skb->mark - 1);
	skb->mark = 0;
	/* The policy may have changed since. */
	if (!receiver || !flood_is_wanted(pass, receiver))
		return -HNV_DROP_BUM;
	pa = receiver->pa;
	ifindex = receiver->ifindex;
	pass->is_counted = 1;
	if (addr_is_zero(&pa))
		return deliver_port(skb, pass, ifindex, pass->vsid);
	pass->next_pa = pa;
	pass->next_vsid = pass->vsid;
	return deliver(skb, pass);
}

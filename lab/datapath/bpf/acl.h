/* Access control lists: ordered rules, and what the flows that they allowed may do since. */
#pragma once

#include "flow.h"
#include "fragment.h"
#include "trace.h"

/* A walk over the rules of one direction. */
struct acl_walk {
	struct hnv_addr source;
	struct hnv_addr destination;
	struct hnv_acl_key key;
	__u16 source_port;              /* host order */
	__u16 destination_port;
	__u8 protocol;
	__u8 flags;                     /* of the rule that decided */
	__u16 match;                    /* 1 + its index; 0: none, which allows */
	__u32 rule;                     /* its id */
};

static __always_inline bool acl_covers(const struct hnv_addr *prefix, const struct hnv_addr *mask,
				       const struct hnv_addr *addr)
{
	return !(((addr->word[0] & mask->word[0]) ^ prefix->word[0]) |
		 ((addr->word[1] & mask->word[1]) ^ prefix->word[1]) |
		 ((addr->word[2] & mask->word[2]) ^ prefix->word[2]) |
		 ((addr->word[3] & mask->word[3]) ^ prefix->word[3]));
}

static __always_inline bool acl_matches(const struct hnv_acl_rule *rule, const struct acl_walk *walk)
{
	return (rule->flags & HNV_RULE_ANY_PROTOCOL || rule->protocol == walk->protocol) &&
	       walk->source_port >= rule->source_port_first && walk->source_port <= rule->source_port_last &&
	       walk->destination_port >= rule->destination_port_first &&
	       walk->destination_port <= rule->destination_port_last &&
	       acl_covers(&rule->destination, &rule->destination_mask, &walk->destination) &&
	       acl_covers(&rule->source, &rule->source_mask, &walk->source);
}

/* What a judgement works with; the stack, which callers share, has no room for it. */
struct acl_scratch {
	struct flow_packet packet;
	struct hnv_flow_key key;
	struct fragment_key fragment;
	struct hnv_flow first;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct acl_scratch);
} acl_scratch SEC(".maps");

/* bpf_loop's; 1 ends it. */
static long acl_step(__u32 index, void *context)
{
	struct acl_walk *walk = context;
	const struct hnv_acl_rule *rule;

	walk->key.index = index;
	rule = bpf_map_lookup_elem(&hnv_acl_rules_v1, &walk->key);
	if (!rule)
		return 1;
	if (!acl_matches(rule, walk))
		return 0;
	walk->flags = rule->flags;
	walk->rule = rule->id;
	walk->match = index + 1;
	return 1;
}

/* What the rules of `acl` say about the first packet of a flow, or one without flow: `packet` in the direction that
 * the flow was opened in. Ports are what rules see: an echo's identifier is none. */
static __always_inline int acl_decide(struct acl_walk *walk, const struct flow_packet *packet, __u32 acl,
				      enum hnv_acl_direction direction)
{
	bool ports = flow_has_ports(packet->protocol);

	walk->source = packet->source;
	walk->destination = packet->destination;
	walk->source_port = ports ? bpf_ntohs(packet->source_port) : 0;
	walk->destination_port = ports ? bpf_ntohs(packet->destination_port) : 0;
	walk->protocol = packet->protocol;
	walk->key.acl = acl;
	walk->key.direction = direction;
	bpf_loop(HNV_ACL_RULES_MAX, acl_step, walk, 0);
	return walk->flags & HNV_RULE_DENY ? -HNV_DROP_ACL : 0;
}

/* A packet of a known flow, or an error about one: the flow decides, and if the port's list has changed since, what
 * the new one says about the flow's first packet. A denied flow keeps its old number, to be asked again next time. */
static __always_inline int acl_decide_again(struct acl_walk *walk, struct hnv_flow *flow, struct flow_packet *packet,
					    const struct hnv_flow_key *key, __u32 acl)
{
	bool outbound = flow->opener == HNV_ACL_OUTBOUND;

	if (flow->acl == acl)
		return 0;
	packet->source = outbound ? key->local : key->remote;
	packet->destination = outbound ? key->remote : key->local;
	packet->source_port = outbound ? key->local_port : key->remote_port;
	packet->destination_port = outbound ? key->remote_port : key->local_port;
	if (acl_decide(walk, packet, acl, flow->opener))
		return -HNV_DROP_ACL;
	flow->acl = acl;
	return 0;
}

/* An ICMP error: the quoted packet went the other way, and its source is whom the error is for. One for anybody else is
 * no part of the flow, or who has a flow could say what it likes to whom it likes. */
static __always_inline int acl_judge_error(struct __sk_buff *skb, const struct pass *pass, struct acl_walk *walk,
					   struct acl_scratch *mine, __u32 ifindex, __u32 acl,
					   enum hnv_acl_direction direction, __u64 now)
{
	struct flow_packet *packet = &mine->packet;
	struct hnv_flow_key *key = &mine->key;
	struct hnv_flow *flow = NULL;

	if (flow_packet_quoted(skb, pass, packet) && addr_equal(&pass->destination, &packet->source)) {
		flow_key_of(key, ifindex, packet, direction == HNV_ACL_INBOUND);
		flow = flow_find(key, now);
	}
	if (flow)
		return acl_decide_again(walk, flow, packet, key, acl);
	packet->source = pass->source;
	packet->destination = pass->destination;
	packet->protocol = pass->protocol;
	return acl_decide(walk, packet, acl, direction);
}

static __always_inline int acl_judge_flow(const struct pass *pass, struct acl_walk *walk, struct acl_scratch *mine,
					  __u32 ifindex, __u32 acl, enum hnv_acl_direction direction, __u64 now)
{
	struct flow_packet *packet = &mine->packet;
	struct hnv_flow_key *key = &mine->key;
	struct hnv_flow *flow;
	int verdict;

	flow_key_of(key, ifindex, packet, direction == HNV_ACL_OUTBOUND);
	flow = flow_find(key, now);
	if (flow && !flow_is_over(flow, packet)) {
		verdict = acl_decide_again(walk, flow, packet, key, acl);
		if (!verdict)
			flow_touch(flow, packet, direction, now, pass->packets, pass->length);
		return verdict;
	}
	verdict = acl_decide(walk, packet, acl, direction);
	if (!verdict) {
		mine->first.last_ns = now;
		mine->first.packets = pass->packets;
		mine->first.bytes = pass->length;
		mine->first.acl = acl;
		mine->first.opener = direction;
		mine->first.state = flow_state(HNV_FLOW_NEW, false, packet);
		bpf_map_update_elem(&hnv_flows_v1, key, &mine->first, BPF_ANY);
	}
	return verdict;
}

/* A function of its own for the verifier, which looks at it once for all programs. `pass` is never NULL. */
__noinline int acl_judge(struct __sk_buff *skb, struct pass *pass, __u32 acl, __u32 ifindex, __u32 direction)
{
	enum hnv_stage stage = direction == HNV_ACL_OUTBOUND ? HNV_STAGE_ACL_OUT : HNV_STAGE_ACL_IN;
	/* Of the last tick: cheap, and exact enough for times of seconds. */
	__u64 now = bpf_ktime_get_coarse_ns();
	struct acl_walk walk = {};
	struct acl_scratch *mine;
	__u32 zero = 0;
	int verdict;

	mine = bpf_map_lookup_elem(&acl_scratch, &zero);
	if (!pass || !mine)
		return -HNV_DROP_ACL;
	if (icmp_is_discovery(pass))
		return 0;
	if (pass->is_fragment)
		fragment_key_of(&mine->fragment, pass, ifindex, direction);
	flow_packet_of(skb, pass, &mine->packet);
	if (mine->packet.kind == FLOW_FRAGMENT)
		verdict = fragment_check(&mine->fragment, now);
	else if (mine->packet.kind == FLOW_TUPLE)
		verdict = acl_judge_flow(pass, &walk, mine, ifindex, acl, direction, now);
	else if (mine->packet.kind == FLOW_QUOTED)
		verdict = acl_judge_error(skb, pass, &walk, mine, ifindex, acl, direction, now);
	else
		verdict = acl_decide(&walk, &mine->packet, acl, direction);
	if (pass->is_fragment && !pass->is_later_fragment && !pass->is_flood)
		fragment_remember(&mine->fragment, now, verdict);
	if (walk.flags & HNV_RULE_LOG) {
		struct acl_log decision = { ifindex, stage, -verdict, walk.rule };

		event_acl(skb, pass, &decision);
	}
	trace_stage(skb, pass, stage, walk.match, NULL);
	return verdict;
}

/* 0: the list of the sending port lets it pass, or there is none. */
static __always_inline int acl_outbound(struct __sk_buff *skb, struct pass *pass, __u32 acl)
{
	if (acl)
		return acl_judge(skb, pass, acl, pass->port, HNV_ACL_OUTBOUND);
	trace_stage(skb, pass, HNV_STAGE_ACL_OUT, 0, NULL);
	return 0;
}

/* The same for the receiving port. */
static __always_inline int acl_inbound(struct __sk_buff *skb, struct pass *pass, __u32 ifindex, __u32 acl)
{
	if (acl)
		return acl_judge(skb, pass, acl, ifindex, HNV_ACL_INBOUND);
	trace_stage(skb, pass, HNV_STAGE_ACL_IN, 0, NULL);
	return 0;
}

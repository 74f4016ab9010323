/* What is told to user space about single frames: drops, logged decisions, traces (ring buffers of hnv_event). */
#pragma once

#include "length.h"
#include "pass.h"
#include "rate.h"

/* Everything but what is particular to the kind. The frame begins where the VM's Ethernet header stands now. */
static __always_inline void event_fill(struct __sk_buff *skb, const struct pass *pass, struct hnv_event *event,
				       enum hnv_event_kind kind, enum hnv_stage stage)
{
	__u32 length = skb->len, at = pass->eth_offset, captured;

	__builtin_memset(event, 0, sizeof(*event));
	event->version = HNV_EVENT_VERSION;
	event->kind = kind;
	event->stage = stage;
	event->direction = pass->direction;
	event->time_ns = bpf_ktime_get_ns();
	event->trace = pass->trace;
	event->vsid = pass->vsid;
	event->ifindex = skb->ifindex;
	if (at >= length)
		return;
	event->length = length - at;
	captured = length - at < HNV_EVENT_CAPTURE ? length - at : HNV_EVENT_CAPTURE;
	if (length_fits(&captured, HNV_EVENT_CAPTURE) && !bpf_skb_load_bytes(skb, at, event->frame, captured))
		event->captured = captured;
}

/* Functions of their own for the verifier, which looks at them once for all programs; it has to be told that a
 * pass is never NULL. */
__noinline int event_of_drop(struct __sk_buff *skb, const struct pass *pass, enum hnv_drop reason, __u32 per_second)
{
	struct hnv_event *event;

	if (!pass || !rate_allows(RATE_DROP_EVENT, reason, per_second, 1))
		return 0;
	event = bpf_ringbuf_reserve(&hnv_events_v1, sizeof(*event), 0);
	if (!event)
		return 0;
	event_fill(skb, pass, event, HNV_EVENT_DROP, HNV_STAGE_DROP);
	event->reason = reason;
	event->pa = pass->peer_pa;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Of at most `event_pps` drops a second for each reason; before anything of the frame is written over. */
static __always_inline void event_drop(struct __sk_buff *skb, const struct pass *pass, enum hnv_drop reason)
{
	const struct hnv_settings *settings = settings_get();

	if (settings && settings->event_pps)
		event_of_drop(skb, pass, reason, settings->event_pps);
}

/* A decision of a rule that logs. */
struct acl_log {
	__u32 ifindex;                  /* port whose list it is */
	enum hnv_stage stage;
	enum hnv_drop reason;           /* ACL or FORWARDED */
	__u32 rule;
};

__noinline int event_acl(struct __sk_buff *skb, const struct pass *pass, const struct acl_log *decision)
{
	const struct hnv_settings *settings = settings_get();
	struct hnv_event *event;

	if (!pass || !decision || !settings ||
	    !rate_allows(RATE_ACL_EVENT, decision->reason, settings->event_pps, 1))
		return 0;
	event = bpf_ringbuf_reserve(&hnv_events_v1, sizeof(*event), 0);
	if (!event)
		return 0;
	event_fill(skb, pass, event, HNV_EVENT_ACL_LOG, decision->stage);
	event->ifindex = decision->ifindex;
	event->reason = decision->reason;
	event->detail = decision->rule;
	event->pa = pass->peer_pa;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Following one packet through every stage on every node: `hnvlab trace` marks it and names it in hnv_traces_v1. */
#pragma once

#include "event.h"

__noinline int trace_lookup(struct pass *pass)
{
	struct hnv_trace_key key = {};
	const __u32 *id;

	if (!pass)
		return 0;
	key.rd = pass->rd;
	key.mark = pass->mark;
	key.source = pass->source;
	key.destination = pass->destination;
	id = bpf_map_lookup_elem(&hnv_traces_v1, &key);
	pass->trace = id ? *id : 0;
	return 0;
}

/* Is this the packet that somebody follows? Costs a bit test when nobody does. */
static __always_inline void trace_begin(struct __sk_buff *skb __attribute__((unused)), struct pass *pass)
{
	const struct hnv_settings *settings = settings_get();

	if (settings && settings->flags & HNV_SETTINGS_TRACE)
		trace_lookup(pass);
}

__noinline int trace_emit(struct __sk_buff *skb, const struct pass *pass, enum hnv_stage stage, __u32 detail,
			  const struct hnv_addr *pa)
{
	struct hnv_event *event;

	if (!pass)
		return 0;
	event = bpf_ringbuf_reserve(&hnv_trace_events_v1, sizeof(*event), 0);
	if (!event)
		return 0;
	event_fill(skb, pass, event, HNV_EVENT_TRACE, stage);
	event->detail = detail;
	if (stage == HNV_STAGE_DROP)
		event->reason = detail;
	if (pa)
		event->pa = *pa;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline void trace_stage(struct __sk_buff *skb, const struct pass *pass, enum hnv_stage stage,
					__u32 detail, const struct hnv_addr *pa)
{
	if (pass->trace)
		trace_emit(skb, pass, stage, detail, pa);
}

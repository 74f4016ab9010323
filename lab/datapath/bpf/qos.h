/* Shaping: HTB on a device that every frame of a shaped port goes through before it is routed. */
#pragma once

#include "drop.h"
#include "trace.h"

/* The verdict that takes a frame of a shaped port to the shaping device; 0: it is not shaped. `shaped` goes on
 * with it at the far end, where the mark says whose it is. */
static __always_inline int qos_shape(struct __sk_buff *skb, struct pass *pass, const struct hnv_vport *port)
{
	const struct hnv_settings *settings = settings_get();

	if (!port->qos_class || !settings || !settings->qos_in)
		return 0;
	trace_stage(skb, pass, HNV_STAGE_SHAPED, port->qos_class, NULL);
	skb->priority = port->qos_class;
	skb->mark = pass->port;
	skb->cb[CB_OUT_IFINDEX] = settings->qos_in;
	return bpf_redirect(settings->qos_in, 0);
}

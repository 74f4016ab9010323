/* Shaping: HTB on a device that every frame of a shaped port goes through before it is routed. */
#pragma once

#include "maps.h"
#include "pass.h"

/* The verdict that takes a frame of a shaped port to the shaping device; 0: it is not shaped. `shaped` goes on
 * with it at the far end, where the mark says whose it is. */
static __always_inline int qos_redirect(struct __sk_buff *skb, const struct hnv_vport *port,
					const struct hnv_settings *settings)
{
	if (!port->qos_class || !settings->qos_in)
		return 0;
	skb->priority = port->qos_class;
	skb->mark = skb->ifindex;
	return bpf_redirect(settings->qos_in, 0);
}

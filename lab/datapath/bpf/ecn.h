/* Congestion and class across the tunnel: RFC 6040 normal mode, RFC 2983. RFC 7637 is silent on both. */
#pragma once

#include "congestion.h"
#include "csum.h"
#include "parse.h"

/* RFC 6040 §4.1: the field is copied outwards; the class only in the uniform model. */
static __always_inline __u8 tos_outer(const struct pass *pass, const struct hnv_settings *settings)
{
	return settings->flags & HNV_SETTINGS_DSCP_UNIFORM ? pass->tos : pass->tos & ECN_MASK;
}

/* Change TOS or traffic class in the pass; frame_store brings it into the packet. */
static __always_inline void tos_set(struct pass *pass, __u8 tos)
{
	pass->tos = tos;
	if (pass->ip_version == 4) {
		struct iphdr *ip = &pass->frame.ip4;
		__u16 *first = (__u16 *)ip;     /* version, header length, TOS */
		__u16 before = *first;

		ip->tos = tos;
		ip->check = csum_replace(ip->check, before, *first);
	} else {
		pass->frame.ip6.priority = tos >> 4;
		pass->frame.ip6.flow_lbl[0] = (pass->frame.ip6.flow_lbl[0] & 15) | tos << 4;
	}
}

/* What the inner field becomes; a drop when congestion cannot be told. */
static __always_inline int tos_inner(const struct pass *pass, const struct hnv_settings *settings, __u8 outer)
{
	int ecn = ecn_at_egress(outer & ECN_MASK, pass->tos & ECN_MASK);
	__u8 class = settings->flags & HNV_SETTINGS_DSCP_UNIFORM ? outer : pass->tos;

	return ecn < 0 ? -HNV_DROP_ECN : (class & (__u8)~ECN_MASK) | ecn;
}

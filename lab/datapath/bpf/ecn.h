/* Congestion and class across the tunnel: RFC 6040 normal mode, RFC 2983. RFC 7637 is silent on both. */
#pragma once

#include "csum.h"
#include "parse.h"

#define ECN_MASK 3
#define ECN_NOT_ECT 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3

/* RFC 6040 §4.1: the field is copied outwards; the class only in the uniform model. */
static __always_inline __u8 tos_outer(const struct pass *pass, const struct hnv_settings *settings)
{
	return settings->flags & HNV_SETTINGS_DSCP_UNIFORM ? pass->tos : pass->tos & ECN_MASK;
}

/* RFC 6040 §4.2 table: the inner field on leaving the tunnel, or a drop. */
static __always_inline int ecn_at_egress(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? -HNV_DROP_ECN : ECN_CE;
	if (outer == ECN_ECT1 && inner == ECN_ECT0)
		return ECN_ECT1;
	return inner;
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

	return ecn < 0 ? ecn : (class & (__u8)~ECN_MASK) | ecn;
}

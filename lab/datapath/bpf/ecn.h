/* Explicit congestion notification across the tunnel: RFC 6040, normal mode. RFC 7637 is silent on it. */
#pragma once

#include "csum.h"
#include "pass.h"

#define ECN_MASK 3
#define ECN_NOT_ECT 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3

/* RFC 6040 §4.2 table: the inner field on leaving the tunnel, or a drop. */
static __always_inline int ecn_at_egress(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? -HNV_DROP_ECN : ECN_CE;
	if (outer == ECN_ECT1 && inner == ECN_ECT0)
		return ECN_ECT1;
	return inner;
}

static __always_inline void ecn_set(struct iphdr *ip, __u8 ecn)
{
	__u16 *first = (__u16 *)ip;     /* version, header length, TOS */
	__u16 before = *first;

	ip->tos = (ip->tos & ~ECN_MASK) | ecn;
	ip->check = csum_replace(ip->check, before, *first);
}

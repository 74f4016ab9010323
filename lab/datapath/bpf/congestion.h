/* Explicit congestion notification across any tunnel: RFC 6040, normal mode. */
#pragma once

#define ECN_MASK 3
#define ECN_NOT_ECT 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3

/* RFC 6040 §4.2 table: the inner field on leaving the tunnel; below 0: the packet must be dropped. */
static __always_inline int ecn_at_egress(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? -1 : ECN_CE;
	if (outer == ECN_ECT1 && inner == ECN_ECT0)
		return ECN_ECT1;
	return inner;
}

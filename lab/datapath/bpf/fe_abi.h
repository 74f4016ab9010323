/* What the front end's programs and user space agree on; the rules of abi.h hold. lab/datapath/front_end_abi.py
 * holds the same in Python. */
#pragma once

#include "abi.h"

/* Why a frame ended here; 0: it went on. Functions return the negative of these. */
enum hnv_fe_drop {
	HNV_FE_FORWARDED = 0,
	HNV_FE_DROP_NO_LEG = 1,         /* the interface, or what a table names, is no leg or port, or no longer this one */
	HNV_FE_DROP_VLAN_UNKNOWN = 2,   /* a tag that no leg has, or none of 802.1Q */
	HNV_FE_DROP_TAGGED = 3,         /* a tag where none may be, or a second one */
	HNV_FE_DROP_OUTER_FRAG = 4,     /* outer packet is fragmented */
	HNV_FE_DROP_OUTER_MALFORMED = 5,
	HNV_FE_DROP_GRE_FLAGS = 6,      /* not exactly "key present, version 0" (RFC 2784 §2, RFC 2890 §2) */
	HNV_FE_DROP_GRE_PROTOCOL = 7,   /* neither IPv4 nor IPv6 */
	HNV_FE_DROP_GRE_UNKNOWN = 8,    /* no leg has these ends and this key */
	HNV_FE_DROP_INNER_MALFORMED = 9,
	HNV_FE_DROP_ECN = 10,           /* congestion was met by a transport that cannot hear it (RFC 6040 §4.2) */
	HNV_FE_DROP_NON_IP = 11,        /* into a GRE tunnel: neither IPv4 nor IPv6 */
	HNV_FE_DROP_TOO_BIG = 12,       /* larger than the next device carries */
	HNV_FE_DROP_ENCAP = 13,         /* the kernel refused to put a header or tag on */
	HNV_FE_DROP_DECAP = 14,         /* the kernel refused to take a header or tag off */
	HNV_FE_DROP_OTHER_VLAN = 15,    /* out of an access port: not of its VLAN */
};
_Static_assert(sizeof(enum hnv_fe_drop) == 4, "abi");

/* In place of an access port's VLAN id: what has no tag, and nothing else. No VLAN has this number. */
#define HNV_FE_UNTAGGED 0x1000

/* As the connection sees it: in is from the front end, out is to it. Of an access port: from and to its station. */
enum hnv_fe_direction {
	HNV_FE_IN = 0,
	HNV_FE_OUT = 1,
};
_Static_assert(sizeof(enum hnv_fe_direction) == 4, "abi");

/* hnv_fe_legs_v1: ifindex of a connection's outer end -> */
struct hnv_fe_leg {
	__u32 front_end;                /* ifindex */
	__u32 vlan;                     /* 0: a GRE tunnel */
	__be32 local;
	__be32 remote;
	__be32 key;
	struct hnv_mac inner_mac;       /* of the end in the compartment */
	struct hnv_mac outer_mac;
};
_Static_assert(sizeof(struct hnv_fe_leg) == 32, "abi");

/* hnv_fe_tunnels_v1 -> ifindex of the leg */
struct hnv_fe_tunnel_key {
	__be32 local;
	__be32 remote;
	__be32 key;
};
_Static_assert(sizeof(struct hnv_fe_tunnel_key) == 12, "abi");

/* hnv_fe_counters_v1 -> struct hnv_metric, one for each CPU */
struct hnv_fe_counter_key {
	__u32 ifindex;                  /* the leg; of what concerns none, the device that the frame came in by */
	__u32 direction;
	__u32 reason;
};
_Static_assert(sizeof(struct hnv_fe_counter_key) == 12, "abi");

/* What the data plane and user space agree on: every map's key and value, every drop reason.
 *
 * Fixed width, explicit padding, sizes asserted. lab/datapath/abi.py holds the same in Python and a test
 * compares it with this object's BTF. A layout that changes gets a new map name (_v2); no number of an
 * enum is ever reused.
 */
#pragma once

#include <linux/types.h>

/* A customer or provider address: IPv6, or IPv4 mapped (::ffff:a.b.c.d), in network order. */
struct hnv_addr {
	__be32 word[4];
};
_Static_assert(sizeof(struct hnv_addr) == 16, "abi");

struct hnv_mac {
	__u8 byte[6];
};
_Static_assert(sizeof(struct hnv_mac) == 6, "abi");

/* Why a frame ended here; 0: it went on. Functions return the negative of these. */
enum hnv_drop {
	HNV_FORWARDED = 0,
	HNV_DROP_PORT_BLOCKED = 1,      /* the port has no policy */
	HNV_DROP_VLAN = 2,              /* a VM sent an 802.1Q tag */
	HNV_DROP_MAC_SPOOF = 3,         /* source MAC is not the sender's own */
	HNV_DROP_CA_SPOOF = 4,          /* source CA is not the sender's own, or lives at another PA */
	HNV_DROP_NON_IP = 5,            /* neither IP nor ARP */
	HNV_DROP_NON_IP4 = 6,           /* IPv6: the virtual network carries IPv4 only */
	HNV_DROP_MALFORMED = 7,         /* truncated, or lengths contradict each other */
	HNV_DROP_ARP_MALFORMED = 8,
	HNV_DROP_ARP_SPOOF = 9,         /* ARP sender is not the port's own */
	HNV_DROP_ARP_UNKNOWN = 10,      /* no lookup record for the address asked for */
	HNV_DROP_ARP_IGNORED = 11,      /* a reply or an announcement: policy answers, nobody else */
	HNV_DROP_BUM = 12,              /* broadcast or multicast */
	HNV_DROP_NO_SUBNET = 13,        /* the VSID is not known here */
	HNV_DROP_NO_RECORD = 14,        /* no lookup record for the destination */
	HNV_DROP_MAC_MISMATCH = 15,     /* destination MAC is not the record's */
	HNV_DROP_NO_ROUTE = 16,         /* no customer route for the destination */
	HNV_DROP_TTL_EXCEEDED = 17,
	HNV_DROP_ROUTER_LOCAL = 18,     /* sent to the distributed router, which only answers echo requests */
	HNV_DROP_TOO_BIG = 19,          /* larger than the provider network or the port carries */
	HNV_DROP_PORT_ABSENT = 20,      /* the destination lives on this node, but its port is not there */
	HNV_DROP_NO_UPLINK = 21,        /* no provider address or interface yet */
	HNV_DROP_ENCAP = 22,            /* the kernel refused to make room for the outer header */
	HNV_DROP_DECAP = 23,            /* the kernel refused to remove the outer header */
	HNV_DROP_GRE_FLAGS = 24,        /* not exactly "key present, version 0" (RFC 7637 §3.2) */
	HNV_DROP_GRE_PROTOCOL = 25,     /* not Transparent Ethernet Bridging (RFC 7637 §3.2) */
	HNV_DROP_OUTER_FRAG = 26,       /* outer packet is fragmented (RFC 7637 §4.4) */
	HNV_DROP_OUTER_MALFORMED = 27,
	HNV_DROP_VSID_RESERVED = 28,    /* VSID below 4096 or 0xffffff (RFC 7637 §3.2) */
	HNV_DROP_PA_SPOOF = 29,         /* outer source is no member of the routing domain */
	HNV_DROP_INNER_VLAN = 30,       /* tagged inner frame (RFC 7637 §3.3) */
	HNV_DROP_ECN = 31,              /* congestion was met by a transport that cannot hear it (RFC 6040 §4.2) */
	HNV_DROP_NOT_LOCAL = 32,        /* inner destination has no port here */
};
_Static_assert(sizeof(enum hnv_drop) == 4, "abi");

enum hnv_direction {
	HNV_VPORT_IN = 0,               /* from a VM into the switch */
	HNV_VPORT_OUT = 1,              /* from the switch to a VM */
	HNV_WIRE_IN = 2,                /* from the provider network */
	HNV_WIRE_OUT = 3,               /* to the provider network */
};
_Static_assert(sizeof(enum hnv_direction) == 4, "abi");

/* hnv_vports_v1: ifindex -> */
enum {
	HNV_PORT_GATEWAY = 1 << 0,      /* a compartment: carries foreign sources and destinations */
};

struct hnv_vport {
	__u32 vsid;
	__u32 rd;
	struct hnv_addr ca;
	struct hnv_mac mac;
	__u16 flags;
};
_Static_assert(sizeof(struct hnv_vport) == 32, "abi");

/* hnv_subnets_v1: VSID -> */
struct hnv_subnet {
	__u32 rd;
	struct hnv_mac router_mac;
	__u16 pad;
	struct hnv_addr router;
};
_Static_assert(sizeof(struct hnv_subnet) == 28, "abi");

/* hnv_lookup_v1 */
struct hnv_lookup_key {
	__u32 vsid;
	struct hnv_addr ca;
};
_Static_assert(sizeof(struct hnv_lookup_key) == 20, "abi");

struct hnv_lookup {
	struct hnv_addr pa;
	struct hnv_mac mac;
	__u16 flags;
};
_Static_assert(sizeof(struct hnv_lookup) == 24, "abi");

/* hnv_locals_v1: which port of this node holds a MAC -> ifindex. Apart from the lookup records, so that
 * they stay pure policy and a port that comes or goes rewrites none of them. */
struct hnv_local_key {
	__u32 vsid;
	struct hnv_mac mac;
	__u16 pad;
};
_Static_assert(sizeof(struct hnv_local_key) == 12, "abi");

/* hnv_routes_v1, a longest-prefix map; prefix_bits counts rd and the mapped address. */
struct hnv_route_key {
	__u32 prefix_bits;
	__be32 rd;
	struct hnv_addr prefix;
};
_Static_assert(sizeof(struct hnv_route_key) == 24, "abi");

struct hnv_route {
	__u32 vsid;                     /* subnet of the next hop */
	__u32 flags;
	struct hnv_addr next_hop;       /* all zero: on-link */
};
_Static_assert(sizeof(struct hnv_route) == 24, "abi");

/* hnv_members_v1 -> flags: who may send into a routing domain */
enum {
	HNV_MEMBER_GATEWAY = 1 << 0,    /* may carry sources that are no CA of the routing domain */
};

struct hnv_member_key {
	__u32 rd;
	struct hnv_addr pa;
};
_Static_assert(sizeof(struct hnv_member_key) == 20, "abi");

/* hnv_settings_v1[0] */
struct hnv_settings {
	struct hnv_addr pa;             /* own; all zero: none yet */
	__u32 uplink;                   /* ifindex; 0: none yet */
	__u32 flags;
};
_Static_assert(sizeof(struct hnv_settings) == 24, "abi");

/* hnv_domains_v1: RDID -> the dense number that stands for it in every other key. Only user space uses it;
 * pinned with the rest, so that an agent that restarts finds the same numbers. */
struct hnv_rdid {
	__u8 byte[16];
};
_Static_assert(sizeof(struct hnv_rdid) == 16, "abi");

/* hnv_metrics_v1, per CPU */
struct hnv_metric_key {
	enum hnv_drop reason;
	enum hnv_direction direction;
	__u32 vsid;                     /* 0: not known when the frame ended */
};
_Static_assert(sizeof(struct hnv_metric_key) == 12, "abi");

struct hnv_metric {
	__u64 packets;
	__u64 bytes;
};
_Static_assert(sizeof(struct hnv_metric) == 16, "abi");

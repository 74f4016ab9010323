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
	HNV_DROP_IP_VERSION = 6,        /* IP version is not the one of the virtual subnet */
	HNV_DROP_MALFORMED = 7,         /* truncated, or lengths contradict each other */
	HNV_DROP_ARP_MALFORMED = 8,
	HNV_DROP_ARP_SPOOF = 9,         /* ARP sender is not the port's own */
	HNV_DROP_ARP_UNKNOWN = 10,      /* no lookup record for the address asked for */
	HNV_DROP_ARP_IGNORED = 11,      /* a reply or an announcement: policy answers, nobody else */
	HNV_DROP_BUM = 12,              /* broadcast or multicast that cannot be replicated: nobody else, or too many */
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
	HNV_DROP_VXLAN_FLAGS = 33,      /* not exactly "VNI present" (RFC 7348 §5) */
	HNV_DROP_ND_MALFORMED = 34,
	HNV_DROP_ND_SPOOF = 35,         /* neighbour discovery in the name of another */
	HNV_DROP_ND_UNKNOWN = 36,       /* no lookup record for the address asked for */
	HNV_DROP_ND_IGNORED = 37,       /* an advertisement, or a solicitation that needs no answer */
	HNV_DROP_DHCP_GUARD = 38,       /* a DHCP reply from a port that is no DHCP server */
	HNV_DROP_RA_GUARD = 39,         /* a router advertisement or redirect from a port that is no router */
	HNV_DROP_STORM = 40,            /* more broadcast and multicast than the port may send */
	HNV_DROP_ACL = 41,              /* an access control list denies it */
	HNV_DROP_FRAGMENT = 42,         /* a later fragment whose first one the access control list has not seen */
	HNV_DROP_BLACKHOLE = 43,        /* a user-defined route says so */
	HNV_DROP_EXTENSION_HEADERS = 44, /* IPv6: more extension headers than the switch follows */
};
_Static_assert(sizeof(enum hnv_drop) == 4, "abi");

enum hnv_direction {
	HNV_VPORT_IN = 0,               /* from a VM into the switch */
	HNV_VPORT_OUT = 1,              /* from the switch to a VM */
	HNV_WIRE_IN = 2,                /* from the provider network */
	HNV_WIRE_OUT = 3,               /* to the provider network */
};
_Static_assert(sizeof(enum hnv_direction) == 4, "abi");

/* hnv_vports_v2: ifindex -> */
enum {
	HNV_PORT_GATEWAY = 1 << 0,      /* a compartment: carries foreign sources and destinations */
	HNV_PORT_FORWARDING = 1 << 1,   /* an appliance: carries sources and destinations of its routing domain */
	HNV_PORT_DHCP_SERVER = 1 << 2,  /* may send DHCP replies */
	HNV_PORT_ROUTER = 1 << 3,       /* may send router advertisements */
};

struct hnv_vport {
	__u32 vsid;
	__u32 rd;
	struct hnv_addr ca;
	struct hnv_addr pa;             /* outer source of what it sends */
	struct hnv_mac mac;
	__u16 flags;
	__u32 acl;                      /* its rules in hnv_acl_rules_v1; 0: none, all is allowed */
	__u32 storm_pps;                /* broadcast and multicast packets per second; 0: not limited */
	__u32 qos_class;                /* skb->priority on the shaping device: an HTB class; 0: not shaped */
};
_Static_assert(sizeof(struct hnv_vport) == 60, "abi");

/* hnv_subnets_v1: VSID -> */
enum {
	HNV_SUBNET_USER_ROUTES = 1 << 0, /* has routes of its own in hnv_routes_v2 */
};

struct hnv_subnet {
	__u32 rd;
	struct hnv_mac router_mac;
	__u16 flags;
	struct hnv_addr router;         /* its family is the subnet's */
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

/* hnv_routes_v2, a longest-prefix map; prefix_bits counts the table and the mapped address. The table is the
 * routing domain's number, or HNV_TABLE_USER | VSID for the user-defined routes of one subnet. */
#define HNV_TABLE_USER 0x80000000u

struct hnv_route_key {
	__u32 prefix_bits;
	__be32 table;
	struct hnv_addr prefix;
};
_Static_assert(sizeof(struct hnv_route_key) == 24, "abi");

enum {
	HNV_ROUTE_BLACKHOLE = 1 << 0,
};

struct hnv_route {
	__u32 vsid;                     /* subnet of the next hop */
	__u16 flags;
	__u16 prefix_bits;              /* of its key, to compare user-defined with other routes */
	struct hnv_addr next_hop;       /* CA; all zero: on-link */
	struct hnv_addr external_router; /* PA of the gateway that routes instead of this node; all zero: this node */
};
_Static_assert(sizeof(struct hnv_route) == 40, "abi");

/* hnv_members_v1 -> flags: who may send into a routing domain */
enum {
	HNV_MEMBER_GATEWAY = 1 << 0,    /* may carry sources that are no CA of the routing domain */
	HNV_MEMBER_FORWARDER = 1 << 1,  /* may carry sources that live elsewhere in the routing domain */
};

struct hnv_member_key {
	__u32 rd;
	struct hnv_addr pa;
};
_Static_assert(sizeof(struct hnv_member_key) == 20, "abi");

/* hnv_providers_v1: own PA -> ifindex of the uplink that carries it now */

/* hnv_flood_v1: who gets the broadcast and multicast of a VSID. Indexes count up from 0 without a gap. */
#define HNV_FLOOD_MAX 64

struct hnv_flood_key {
	__u32 vsid;
	__u32 index;
};
_Static_assert(sizeof(struct hnv_flood_key) == 8, "abi");

struct hnv_flood {
	struct hnv_addr pa;             /* all zero: a port of this node */
	__u32 ifindex;
};
_Static_assert(sizeof(struct hnv_flood) == 20, "abi");

/* hnv_settings_v3[0] */
#define HNV_UPLINKS_MAX 4

enum {
	HNV_SETTINGS_VXLAN = 1 << 0,    /* encapsulate in VXLAN; else NVGRE. Only the chosen one is received */
	HNV_SETTINGS_DSCP_UNIFORM = 1 << 1, /* RFC 2983: copy DSCP outwards and back; else outer DSCP 0, inner kept */
	HNV_SETTINGS_EXTERNAL_ROUTER = 1 << 2, /* route frames from the wire that are addressed to the router's MAC */
	HNV_SETTINGS_TRACE = 1 << 3,    /* hnv_traces_v1 holds something */
};

enum hnv_team {
	HNV_TEAM_PORT = 0,              /* Hyper-V port: a vport sends on the uplink of its PA */
	HNV_TEAM_HASH = 1,              /* a flow keeps to one uplink */
	HNV_TEAM_DYNAMIC = 2,           /* a flow may move when it pauses (flowlets) */
};
_Static_assert(sizeof(enum hnv_team) == 4, "abi");

struct hnv_settings {
	__u32 flags;
	enum hnv_team team;
	__u32 qos_in;                   /* ifindex of the shaping device; 0: there is none */
	__u32 icmp_pps;                 /* ICMP errors per second and port; 0: not limited */
	__u32 event_pps;                /* drop events per second and reason; 0: none */
	__u32 uplink_count;             /* of those below; 0: none has carrier */
	__u32 uplink[HNV_UPLINKS_MAX];  /* ifindexes of the uplinks that have carrier */
	__be32 pa_network;              /* the network of all PAs of the node; mask 0: they are of several */
	__be32 pa_mask;
	__be32 pa_gateway;              /* next hop to PAs elsewhere; 0: there is none */
};
_Static_assert(sizeof(struct hnv_settings) == 52, "abi");

/* hnv_acls_v1: digest of an ordered set of rules -> the number that stands for it. Only user space uses it. A set
 * never changes: a port gets the number of another one, which tells its flows to be judged anew. */
struct hnv_acl_digest {
	__u8 byte[16];
};
_Static_assert(sizeof(struct hnv_acl_digest) == 16, "abi");

/* hnv_acl_rules_v1; indexes count up from 0 without a gap, the first match decides, no match allows. */
#define HNV_ACL_RULES_MAX 256

enum hnv_acl_direction {
	HNV_ACL_OUTBOUND = 0,           /* from the VM */
	HNV_ACL_INBOUND = 1,
};

struct hnv_acl_key {
	__u32 acl;
	__u16 direction;
	__u16 index;
};
_Static_assert(sizeof(struct hnv_acl_key) == 8, "abi");

enum {
	HNV_RULE_DENY = 1 << 0,
	HNV_RULE_LOG = 1 << 1,
	HNV_RULE_ANY_PROTOCOL = 1 << 2,
};

struct hnv_acl_rule {
	struct hnv_addr source;
	struct hnv_addr source_mask;
	struct hnv_addr destination;
	struct hnv_addr destination_mask;
	__u16 source_port_first;        /* host order, both included; packets without ports have 0 */
	__u16 source_port_last;
	__u16 destination_port_first;
	__u16 destination_port_last;
	__u8 protocol;
	__u8 flags;
	__u16 pad;
	__u32 id;                       /* for the log: position in its access control list */
};
_Static_assert(sizeof(struct hnv_acl_rule) == 80, "abi");

/* hnv_flows_v1, least recently used: connections through a port that has an access control list. */
struct hnv_flow_key {
	__u32 ifindex;
	struct hnv_addr local;          /* the VM's side */
	struct hnv_addr remote;
	__be16 local_port;              /* ICMP echo: the identifier on both sides */
	__be16 remote_port;
	__u8 protocol;
	__u8 pad[3];
};
_Static_assert(sizeof(struct hnv_flow_key) == 44, "abi");

enum hnv_flow_state {
	HNV_FLOW_NEW = 0,               /* nothing has come back yet */
	HNV_FLOW_ESTABLISHED = 1,
	HNV_FLOW_CLOSING = 2,           /* FIN or RST seen */
};

struct hnv_flow {
	__u64 last_ns;                  /* of the boot clock (CLOCK_MONOTONIC) */
	__u64 packets;
	__u64 bytes;
	__u32 acl;                      /* that it was judged by */
	__u8 opener;                    /* enum hnv_acl_direction of its first packet */
	__u8 state;
	__u16 pad;
};
_Static_assert(sizeof(struct hnv_flow) == 32, "abi");

/* hnv_meters_v1, per CPU -> struct hnv_metric: what a port has sent and received */
enum hnv_meter_kind {
	HNV_METER_INTERNAL = 0,         /* the other end is a CA of the routing domain */
	HNV_METER_GATEWAY = 1,          /* it is not */
};

struct hnv_meter_key {
	__u32 ifindex;
	__u16 direction;                /* enum hnv_acl_direction */
	__u16 kind;
};
_Static_assert(sizeof(struct hnv_meter_key) == 8, "abi");

/* hnv_traces_v1: the one packet that is followed -> trace id. `mark`: IPv4 identification, IPv6 flow label. */
struct hnv_trace_key {
	__u32 rd;
	__u32 mark;
	struct hnv_addr source;
	struct hnv_addr destination;
};
_Static_assert(sizeof(struct hnv_trace_key) == 40, "abi");

/* hnv_events_v1 (drops and logged ACL decisions) and hnv_trace_events_v1, ring buffers of: */
#define HNV_EVENT_VERSION 1
#define HNV_EVENT_CAPTURE 96

enum hnv_event_kind {
	HNV_EVENT_DROP = 1,
	HNV_EVENT_ACL_LOG = 2,          /* a rule with HNV_RULE_LOG decided; reason ACL: denied, FORWARDED: allowed */
	HNV_EVENT_TRACE = 3,
};

enum hnv_stage {
	HNV_STAGE_VPORT_IN = 0,         /* detail: ifindex */
	HNV_STAGE_ACL_OUT = 1,          /* detail: 1 + index of the rule, 0: none or a known flow */
	HNV_STAGE_SHAPED = 2,           /* detail: HTB class */
	HNV_STAGE_SWITCHED = 3,         /* within the subnet */
	HNV_STAGE_ROUTED = 4,           /* detail: VSID of the next hop */
	HNV_STAGE_LOOKUP = 5,           /* pa: where the next hop lives */
	HNV_STAGE_ENCAP = 6,            /* detail: VSID on the wire */
	HNV_STAGE_WIRE_OUT = 7,         /* detail: ifindex */
	HNV_STAGE_WIRE_IN = 8,          /* detail: ifindex; pa: outer source */
	HNV_STAGE_DECAP = 9,            /* detail: VSID */
	HNV_STAGE_ACL_IN = 10,          /* as ACL_OUT */
	HNV_STAGE_VPORT_OUT = 11,       /* detail: ifindex */
	HNV_STAGE_DROP = 12,            /* reason says why */
};

struct hnv_event {
	__u8 version;
	__u8 kind;                      /* enum hnv_event_kind */
	__u8 stage;                     /* enum hnv_stage */
	__u8 direction;                 /* enum hnv_direction of the pass */
	__u32 reason;                   /* enum hnv_drop */
	__u64 time_ns;                  /* CLOCK_MONOTONIC: the same on all nodes of one machine */
	__u32 trace;                    /* trace id; 0: none */
	__u32 vsid;
	__u32 ifindex;                  /* of the device that the pass began on; ACL_LOG: of the port whose list it is */
	__u32 detail;                   /* by stage; ACL_LOG: the rule's id */
	struct hnv_addr pa;
	__u32 length;                   /* of the frame */
	__u32 captured;                 /* octets of it in `frame` */
	__u8 frame[HNV_EVENT_CAPTURE];  /* the VM's frame from its Ethernet header on */
};
_Static_assert(sizeof(struct hnv_event) == 152, "abi");

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

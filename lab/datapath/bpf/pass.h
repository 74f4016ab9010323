/* What the switch knows of the one frame that it works on. */
#pragma once

#include "abi.h"
#include "maps.h"

/* The two headers stand as they do in the packet, without a gap, from `eth` on. */
struct frame {
	__u16 align;
	struct ethhdr eth;
	union {
		struct iphdr ip4;       /* without options */
		struct ipv6hdr ip6;     /* the fixed header */
	};
};

_Static_assert(offsetof(struct frame, ip4) == offsetof(struct frame, eth) + sizeof(struct ethhdr), "no gap");

/* What the distributed router owes the sender of a dropped packet; icmp4.h and icmp6.h know type and code. */
enum pass_error {
	ERROR_NONE,
	ERROR_TTL_EXCEEDED,
	ERROR_NO_ROUTE,
	ERROR_NO_HOST,
	ERROR_NO_PORT,
	ERROR_TOO_BIG,                  /* with pass.error_mtu */
};

struct pass {
	struct frame frame;             /* the VM's frame: as it came, or the inner one */
	/* Read from the frame by parse.h. Offsets are from the packet's first octet as it is now: decapsulation moves them. */
	struct hnv_addr source;         /* IPv4: mapped */
	struct hnv_addr destination;
	__u16 eth_offset;               /* of the VM's Ethernet header */
	__u16 l3_offset;
	__u16 l4_offset;                /* behind options and extension headers */
	__u16 l4_len;                   /* octets of the IP packet from there on */
	__be16 source_port;             /* TCP, UDP and SCTP, and no later fragment; else 0 */
	__be16 destination_port;
	__be16 icmp_id;                 /* ICMP and ICMPv6, no later fragment; of an echo the identifier */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 ip_version;                /* 4 or 6; 0: no IP header has been read */
	__u8 protocol;                  /* behind extension headers */
	__u8 tos;                       /* IPv6: traffic class */
	__u8 ttl;                       /* IPv6: hop limit */
	__u8 is_fragment;
	__u8 is_later_fragment;
	__u8 is_flood;                  /* to many: judged packet by packet, never answered by an error */
	__u8 is_routed;
	__u32 fragment_id;              /* IPv4: host order of 16 bits */
	__u32 mark;                     /* of hnv_trace_key: IPv4 identification, IPv6 flow label; host order */
	/* Where it came from. */
	enum hnv_direction direction;   /* HNV_VPORT_IN or HNV_WIRE_IN */
	__u32 port;                     /* ifindex of the vport; 0: from the wire */
	__u32 vsid;                     /* subnet of the ingress; 0: unknown */
	__u32 rd;
	struct hnv_addr own_pa;         /* outer source of what goes on from here */
	struct hnv_addr peer_pa;        /* from the wire: its outer source; else zero */
	__u8 source_is_foreign;         /* no CA of the routing domain */
	__u8 destination_is_foreign;
	__u8 may_answer;                /* the sender may be told why its packet ended */
	__u8 is_counted;                /* this frame came in before, under another guise */
	/* Size. */
	__u32 length;                   /* of what the program was given */
	__u32 gso_size;                 /* octets that each segment of a super-packet carries; 0: it is none */
	__u32 packets;                  /* that a super-packet stands for */
	/* The next hop: switch.h and router.h find it. */
	__u32 next_vsid;                /* on the wire */
	struct hnv_addr next_pa;
	struct hnv_mac next_mac;
	struct hnv_mac next_router_mac; /* source of a routed frame */
	__u32 trace;                    /* id; 0: not followed */
	/* Where it went: counted by the entry point. */
	__u32 out_vsid;
	enum hnv_direction out_direction;
	enum pass_error error;
	__u32 error_mtu;
};

/* Drop for this reason, and tell the sender by an ICMP error (RFC 1812 §4.3.3, RFC 4443 §3). */
static __always_inline int drop_with_error(struct pass *pass, enum hnv_drop reason, enum pass_error error)
{
	pass->error = error;
	return -(int)reason;
}

/* One pass at a time on a CPU: the programs run in the network's soft interrupt. On the stack there is no room. */
struct scratch {
	struct pass pass;
	struct bpf_redir_neigh next_hop;        /* of an outer packet */
	__u8 message[160];              /* an ICMP message under construction */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* A new pass; NULL never, but the verifier does not know. */
static __always_inline struct pass *pass_begin(struct __sk_buff *skb, enum hnv_direction direction)
{
	struct scratch *mine = scratch_get();
	struct pass *pass;

	if (!mine)
		return NULL;
	pass = &mine->pass;
	__builtin_memset(pass, 0, sizeof(*pass));
	pass->direction = direction;
	pass->packets = 1;
	pass->gso_size = skb->gso_size;
	pass->length = skb->len;
	return pass;
}

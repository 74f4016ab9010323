/* What the switch knows of the one frame that it works on. */
#pragma once

#include "abi.h"

/* RFC 792. The kernel's <linux/icmp.h> drags in the C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_TIMESTAMP 13
#define ICMP_TIMESTAMPREPLY 14
#define ICMP_NET_UNREACH 0
#define ICMP_HOST_UNREACH 1
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_EXC_TTL 0

/* The two headers stand as they do in the packet, without a gap: FRAME_LEN octets from `eth` on. */
struct frame {
	__u16 align;
	struct ethhdr eth;
	struct iphdr ip;                /* without options */
};

#define FRAME_LEN (sizeof(struct ethhdr) + sizeof(struct iphdr))
_Static_assert(offsetof(struct frame, eth) + FRAME_LEN == sizeof(struct frame), "no gap");

struct pass {
	struct frame frame;             /* the VM's frame: as it came, or the inner one */
	__u32 vsid;                     /* subnet for the ingress counters; 0: unknown */
	__u32 rd;
	__u32 gso_size;                 /* octets that each segment of a super-packet carries; 0: it is none */
	__u32 packets;                  /* that a super-packet stands for */
	/* Where the frame goes on: counted by the entry point when the verdict is to forward. */
	enum hnv_direction out_direction;
	__u32 out_vsid;
	/* What the distributed router owes the sender of a dropped packet; type 0: nothing. */
	struct {
		__u8 type;
		__u8 code;
		__u16 mtu;
	} error;
};

/* Drop for this reason, and tell the sender by an ICMP error (RFC 1812 §4.3.3). */
static __always_inline int drop_with_error(struct pass *pass, enum hnv_drop reason, __u8 type, __u8 code)
{
	pass->error.type = type;
	pass->error.code = code;
	return -(int)reason;
}

/* Write both headers back into the packet. */
static __always_inline int frame_store(struct __sk_buff *skb, const struct frame *frame)
{
	return bpf_skb_store_bytes(skb, 0, &frame->eth, FRAME_LEN, 0) ? -HNV_DROP_MALFORMED : 0;
}

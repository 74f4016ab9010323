/* ARP (RFC 826) is answered from policy and never leaves the port: "no answer if unknown, no flooding". */
#pragma once

#include "drop.h"
#include "parse.h"
#include "spoof.h"

struct arp_ip4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender_ip;
	__u8 target_mac[ETH_ALEN];
	__be32 target_ip;
} __attribute__((packed));
_Static_assert(sizeof(struct arp_ip4) == 28, "RFC 826");

struct arp_frame {
	struct ethhdr eth;
	struct arp_ip4 arp;
} __attribute__((packed));

static __always_inline int arp_check(const struct hnv_vport *port, const struct arp_frame *frame)
{
	const struct arp_ip4 *arp = &frame->arp;
	struct hnv_addr sender = addr_from_ip4(arp->sender_ip);
	__u8 foreign;

	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_len != ETH_ALEN || arp->protocol_len != 4)
		return -HNV_DROP_ARP_MALFORMED;
	/* 0.0.0.0: an address probe (RFC 5227 §2.1.1) */
	if (!mac_equal(arp->sender_mac, port->mac.byte) ||
	    (arp->sender_ip && spoof_check(port, &sender, false, &foreign)))
		return -HNV_DROP_ARP_SPOOF;
	/* A reply would speak for others; asking for one's own address is an announcement or a probe of it. */
	if (arp->operation != bpf_htons(1) || addr_is_ip4(&port->ca, arp->target_ip))
		return -HNV_DROP_ARP_IGNORED;
	return 0;
}

__noinline int arp_answer(struct __sk_buff *skb, struct pass *pass)
{
	const struct hnv_vport *port;
	const struct hnv_subnet *subnet;
	const struct hnv_lookup *record;
	struct arp_frame frame;
	struct hnv_addr target;
	struct arp_ip4 asked;
	struct hnv_mac mac;
	int error;

	if (!pass)
		return -HNV_DROP_PORT_BLOCKED;
	port = vport_find(pass->port);
	subnet = subnet_find(pass->vsid);
	if (!port || !subnet)
		return -HNV_DROP_PORT_BLOCKED;
	if (bpf_skb_load_bytes(skb, 0, &frame, sizeof(frame)))
		return -HNV_DROP_ARP_MALFORMED;
	error = arp_check(port, &frame);
	if (error)
		return error;

	asked = frame.arp;
	target = addr_from_ip4(asked.target_ip);
	if (addr_equal(&subnet->router, &target)) {
		mac = subnet->router_mac;
	} else {
		record = lookup_find(pass->vsid, &target);
		if (!record)
			return -HNV_DROP_ARP_UNKNOWN;
		mac = record->mac;
	}
	__builtin_memcpy(frame.eth.h_dest, frame.eth.h_source, ETH_ALEN);
	__builtin_memcpy(frame.eth.h_source, mac.byte, ETH_ALEN);
	frame.arp.operation = bpf_htons(2);
	__builtin_memcpy(frame.arp.sender_mac, mac.byte, ETH_ALEN);
	frame.arp.sender_ip = asked.target_ip;
	__builtin_memcpy(frame.arp.target_mac, asked.sender_mac, ETH_ALEN);
	frame.arp.target_ip = asked.sender_ip;
	if (bpf_skb_store_bytes(skb, 0, &frame, sizeof(frame), 0))
		return -HNV_DROP_ARP_MALFORMED;
	return redirect_vport(skb, pass, pass->vsid, pass->port);
}

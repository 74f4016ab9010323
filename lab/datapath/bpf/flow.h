/* Connections through a port that has an access control list (hnv_flows_v1). */
#pragma once

#include "maps.h"
#include "parse.h"
#include "rate.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_FLAGS_AT 13

#define ICMP6_LAST_ERROR 4              /* and the first is 1 (RFC 4443 §2.1) */
#define ICMP6_FIRST_DISCOVERY 133       /* RFC 4861 §4 */
#define ICMP6_LAST_DISCOVERY 137
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129
#define ICMP_SOURCE_QUENCH 4
#define ICMP_PARAMETER_PROBLEM 12
#define ICMP_HEADER_LEN 8

enum flow_kind {
	FLOW_NONE = 0,                  /* other ICMP, and copies for many: none */
	FLOW_TUPLE = 1,                 /* the tuple below is the flow's */
	FLOW_QUOTED = 2,                /* an ICMP error */
	FLOW_FRAGMENT = 3,              /* a later fragment: that of its first one */
};

/* What makes a packet part of a flow. */
struct flow_packet {
	struct hnv_addr source;
	struct hnv_addr destination;
	__be16 source_port;             /* ICMP echo: the identifier in both */
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 kind;                      /* enum flow_kind */
	__u8 pad;
};

static __always_inline bool flow_has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline bool icmp_is_echo(const struct pass *pass, __u8 type)
{
	return pass->ip_version == 4 ? type == ICMP_ECHO || type == ICMP_ECHOREPLY :
				       type == ICMP6_ECHO_REQUEST || type == ICMP6_ECHO_REPLY;
}

static __always_inline bool icmp_is_discovery(const struct pass *pass)
{
	return pass->ip_version == 6 && pass_is_icmp(pass) && !pass->is_later_fragment &&
	       pass->icmp_type >= ICMP6_FIRST_DISCOVERY && pass->icmp_type <= ICMP6_LAST_DISCOVERY;
}

static __always_inline bool icmp_is_error(const struct pass *pass)
{
	__u8 type = pass->icmp_type;

	if (pass->ip_version == 6)
		return type && type <= ICMP6_LAST_ERROR;
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

/* What the parser has read, and the TCP flags. */
static __always_inline void flow_packet_of(struct __sk_buff *skb, const struct pass *pass, struct flow_packet *packet)
{
	packet->source = pass->source;
	packet->destination = pass->destination;
	packet->source_port = pass->source_port;
	packet->destination_port = pass->destination_port;
	packet->protocol = pass->protocol;
	packet->tcp_flags = 0;
	packet->kind = FLOW_TUPLE;
	if (pass->is_flood) {
		packet->kind = FLOW_NONE;
	} else if (pass->is_later_fragment) {
		packet->kind = FLOW_FRAGMENT;
	} else if (packet->protocol == IPPROTO_TCP && pass->l4_len > TCP_FLAGS_AT) {
		/* Flags that cannot be read are none. */
		if (bpf_skb_load_bytes(skb, pass->l4_offset + TCP_FLAGS_AT, &packet->tcp_flags, 1))
			packet->tcp_flags = 0;
	} else if (pass_is_icmp(pass)) {
		packet->kind = FLOW_NONE;
		if (pass->l4_len < ICMP_HEADER_LEN)
			return;
		if (icmp_is_error(pass)) {
			packet->kind = FLOW_QUOTED;
		} else if (icmp_is_echo(pass, pass->icmp_type)) {
			packet->kind = FLOW_TUPLE;
			packet->source_port = packet->destination_port = pass->icmp_id;
		}
	}
}

/* The tuple of the packet that an ICMP error quotes (RFC 792, RFC 4443 §3). False: it cannot be told. */
static __always_inline bool flow_packet_quoted(struct __sk_buff *skb, const struct pass *pass,
					       struct flow_packet *packet)
{
	__u32 at = pass->l4_offset + ICMP_HEADER_LEN, end = pass->l4_offset + pass->l4_len;
	struct { __u8 type, code; __be16 check, id; } icmp;
	__be16 ports[2];

	if (pass->ip_version == 4) {
		struct iphdr ip;

		if (at + sizeof(ip) > end || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 ||
		    ip.ihl < 5 || ip.frag_off & bpf_htons(IP4_FRAGMENT_OFFSET))
			return false;
		packet->source = addr_from_ip4(ip.saddr);
		packet->destination = addr_from_ip4(ip.daddr);
		packet->protocol = ip.protocol;
		at += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (at + sizeof(ip) > end || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		__builtin_memcpy(&packet->source, &ip.saddr, sizeof(packet->source));
		__builtin_memcpy(&packet->destination, &ip.daddr, sizeof(packet->destination));
		packet->protocol = ip.nexthdr;
		at += sizeof(ip);
	}
	packet->source_port = packet->destination_port = 0;
	if (flow_has_ports(packet->protocol)) {
		if (at + sizeof(ports) > end || bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
			return false;
		packet->source_port = ports[0];
		packet->destination_port = ports[1];
	} else if (packet->protocol == pass->protocol) {
		if (at + ICMP_HEADER_LEN > end || bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)) ||
		    !icmp_is_echo(pass, icmp.type))
			return false;
		packet->source_port = packet->destination_port = icmp.id;
	}
	return true;
}

/* `outbound`: the packet's source is the VM. */
static __always_inline void flow_key_of(struct hnv_flow_key *key, __u32 ifindex, const struct flow_packet *packet,
					bool outbound)
{
	key->ifindex = ifindex;
	key->local = outbound ? packet->source : packet->destination;
	key->remote = outbound ? packet->destination : packet->source;
	key->local_port = outbound ? packet->source_port : packet->destination_port;
	key->remote_port = outbound ? packet->destination_port : packet->source_port;
	key->protocol = packet->protocol;
	key->pad[0] = key->pad[1] = key->pad[2] = 0;
}

static __always_inline __u64 flow_idle_ns(__u8 protocol, __u8 state)
{
	if (protocol == IPPROTO_TCP)
		return (state == HNV_FLOW_ESTABLISHED ? 900 : state == HNV_FLOW_CLOSING ? 10 : 60) * NS_PER_S;
	return (protocol == IPPROTO_UDP ? 120 : 60) * NS_PER_S;
}

/* A flow that was idle for too long is none. User space may have written a later time than the last tick's. */
static __always_inline struct hnv_flow *flow_find(const struct hnv_flow_key *key, __u64 now)
{
	struct hnv_flow *flow = bpf_map_lookup_elem(&hnv_flows_v1, key);

	if (!flow || (__s64)(now - flow->last_ns) > (__s64)flow_idle_ns(key->protocol, flow->state))
		return NULL;
	return flow;
}

/* RFC 9293 §3.6.1: a connection that is closing may be opened again by a SYN; what then comes is another flow. */
static __always_inline bool flow_is_over(const struct hnv_flow *flow, const struct flow_packet *packet)
{
	return packet->protocol == IPPROTO_TCP && flow->state == HNV_FLOW_CLOSING &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline __u8 flow_state(__u8 state, bool answers, const struct flow_packet *packet)
{
	if (packet->protocol == IPPROTO_TCP && packet->tcp_flags & (TCP_FIN | TCP_RST))
		return HNV_FLOW_CLOSING;
	return state == HNV_FLOW_NEW && answers ? HNV_FLOW_ESTABLISHED : state;
}

/* One more packet of a known flow. What does not change is not written: the CPUs share the line. */
static __always_inline void flow_touch(struct hnv_flow *flow, const struct flow_packet *packet,
				       enum hnv_acl_direction direction, __u64 now, __u32 packets, __u32 bytes)
{
	__u8 state = flow_state(flow->state, direction != flow->opener, packet);

	if (flow->state != state)
		flow->state = state;
	flow->last_ns = now;
	__sync_fetch_and_add(&flow->packets, packets);
	__sync_fetch_and_add(&flow->bytes, bytes);
}

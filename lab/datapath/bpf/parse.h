/* Reading headers. Copies, so that no check depends on what is linear in the packet. */
#pragma once

#include "ip4.h"
#include "pass.h"
#include "vlan.h"

#define IP6_FRAGMENT_OFFSET 0xfff8
#define IP6_MORE_FRAGMENTS 1
#define IP6_EXTENSION_HEADERS 6         /* more are not followed */

static __always_inline bool pass_is_icmp(const struct pass *pass)
{
	return pass->protocol == (pass->ip_version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* The Ethernet header and, where the frame is long enough, what an IPv4 header's place holds: one copy for both. */
static __always_inline int parse_head(struct __sk_buff *skb, struct pass *pass)
{
	if (!bpf_skb_load_bytes(skb, pass->eth_offset, &pass->frame.eth, sizeof(struct ethhdr) + sizeof(struct iphdr)))
		return 0;
	return bpf_skb_load_bytes(skb, pass->eth_offset, &pass->frame.eth, sizeof(struct ethhdr)) ?
		       -HNV_DROP_MALFORMED : 0;
}

/* Ports, or ICMP's type, code and identifier; none in a later fragment. */
static __always_inline void parse_l4(struct __sk_buff *skb, struct pass *pass)
{
	__be16 head[4] = {};

	if (pass->is_later_fragment)
		return;
	if (pass->protocol == IPPROTO_TCP || pass->protocol == IPPROTO_UDP || pass->protocol == IPPROTO_SCTP) {
		if (pass->l4_len >= 4 && !bpf_skb_load_bytes(skb, pass->l4_offset, head, 4)) {
			pass->source_port = head[0];
			pass->destination_port = head[1];
		}
	} else if (pass_is_icmp(pass)) {
		__u8 *type = (__u8 *)head;

		/* A packet too short for a type gets one that no query has. */
		pass->icmp_type = pass->ip_version == 4 ? 255 : 0;
		if (pass->l4_len >= 8) {
			if (bpf_skb_load_bytes(skb, pass->l4_offset, head, 8))
				return;
			pass->icmp_code = type[1];
			pass->icmp_id = head[2];
		} else if (!pass->l4_len || bpf_skb_load_bytes(skb, pass->l4_offset, head, 1)) {
			return;
		}
		pass->icmp_type = type[0];
	}
}

/* The header checksum is not verified: every change to it here is incremental (RFC 1624), so that a wrong
 * one stays wrong and the destination refuses it. */
static __always_inline int parse_ip4(struct __sk_buff *skb, struct pass *pass)
{
	const struct iphdr *ip = &pass->frame.ip4;
	__u32 header_len = ip->ihl * 4, total_len = bpf_ntohs(ip->tot_len);
	__u16 fragment = bpf_ntohs(ip->frag_off);

	if (ip->version != 4 || header_len < IP4_MIN_HEADER_LEN || total_len < header_len ||
	    total_len > skb->len - pass->l3_offset)
		return -HNV_DROP_MALFORMED;
	pass->ip_version = 4;
	pass->source = addr_from_ip4(ip->saddr);
	pass->destination = addr_from_ip4(ip->daddr);
	pass->l4_offset = pass->l3_offset + header_len;
	pass->l4_len = total_len - header_len;
	pass->protocol = ip->protocol;
	pass->tos = ip->tos;
	pass->ttl = ip->ttl;
	pass->is_fragment = (fragment & (IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET)) != 0;
	pass->is_later_fragment = (fragment & IP4_FRAGMENT_OFFSET) != 0;
	pass->fragment_id = bpf_ntohs(ip->id);
	pass->mark = bpf_ntohs(ip->id);
	parse_l4(skb, pass);
	return 0;
}

struct ip6_extension {
	__u8 next;
	__u8 len;
	__be16 fragment_offset;         /* of a fragment header, as is the rest */
	__be32 fragment_id;
};

static __always_inline bool ip6_is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH;
}

/* Follow extension headers (RFC 8200 §4) from l4_offset on; a later fragment holds none behind its own. */
static __always_inline int parse_ip6_extensions(struct __sk_buff *skb, struct pass *pass)
{
	struct ip6_extension extension;
	__u32 len;

	for (int i = 0; i < IP6_EXTENSION_HEADERS; i++) {
		if (!ip6_is_extension(pass->protocol) || pass->is_later_fragment)
			return 0;
		if (pass->l4_len < sizeof(extension) ||
		    bpf_skb_load_bytes(skb, pass->l4_offset, &extension, sizeof(extension)))
			return -HNV_DROP_MALFORMED;
		len = (extension.len + 1) * 8;
		if (pass->protocol == IPPROTO_AH) {
			len = (extension.len + 2) * 4;
		} else if (pass->protocol == IPPROTO_FRAGMENT) {
			__u16 offset = bpf_ntohs(extension.fragment_offset);

			len = sizeof(extension);
			pass->is_fragment = (offset & (IP6_FRAGMENT_OFFSET | IP6_MORE_FRAGMENTS)) != 0;
			pass->is_later_fragment = (offset & IP6_FRAGMENT_OFFSET) != 0;
			pass->fragment_id = bpf_ntohl(extension.fragment_id);
		}
		if (pass->l4_len < len)
			return -HNV_DROP_MALFORMED;
		pass->l4_offset += len;
		pass->l4_len -= len;
		pass->protocol = extension.next;
	}
	return ip6_is_extension(pass->protocol) && !pass->is_later_fragment ? -HNV_DROP_EXTENSION_HEADERS : 0;
}

__noinline int parse_ip6(struct __sk_buff *skb, struct pass *pass)
{
	struct ipv6hdr *ip;
	int error;

	if (!pass)
		return -HNV_DROP_MALFORMED;
	ip = &pass->frame.ip6;
	if (bpf_skb_load_bytes(skb, pass->l3_offset, ip, sizeof(*ip)))
		return -HNV_DROP_MALFORMED;
	if (ip->version != 6 || bpf_ntohs(ip->payload_len) + sizeof(*ip) > skb->len - pass->l3_offset)
		return -HNV_DROP_MALFORMED;
	pass->ip_version = 6;
	__builtin_memcpy(&pass->source, &ip->saddr, sizeof(pass->source));
	__builtin_memcpy(&pass->destination, &ip->daddr, sizeof(pass->destination));
	pass->l4_offset = pass->l3_offset + sizeof(*ip);
	pass->l4_len = bpf_ntohs(ip->payload_len);
	pass->protocol = ip->nexthdr;
	pass->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	pass->ttl = ip->hop_limit;
	pass->mark = (ip->flow_lbl[0] & 15) << 16 | ip->flow_lbl[1] << 8 | ip->flow_lbl[2];
	error = parse_ip6_extensions(skb, pass);
	if (error)
		return error;
	parse_l4(skb, pass);
	return 0;
}

/* Everything behind the Ethernet header, which is read. `tagged`: the reason for a tag; `router`: an address of
 * the subnet's family. */
static __always_inline int parse_ip(struct __sk_buff *skb, struct pass *pass, const struct hnv_addr *router,
				    enum hnv_drop tagged)
{
	__be16 protocol = pass->frame.eth.h_proto;
	bool ip4 = addr_is_mapped(router);

	pass->l3_offset = pass->eth_offset + sizeof(struct ethhdr);
	if (protocol == bpf_htons(ETH_P_IP))
		return ip4 ? parse_ip4(skb, pass) : -HNV_DROP_IP_VERSION;
	if (protocol == bpf_htons(ETH_P_IPV6))
		return ip4 ? -HNV_DROP_IP_VERSION : parse_ip6(skb, pass);
	return is_vlan(protocol) ? -(int)tagged : -HNV_DROP_NON_IP;
}

/* Write the headers back into the packet, whose first octet is that of its Ethernet header. */
static __always_inline int frame_store(struct __sk_buff *skb, const struct pass *pass)
{
	__u32 len = sizeof(struct ethhdr) + (pass->ip_version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	return bpf_skb_store_bytes(skb, 0, &pass->frame.eth, len, 0) ? -HNV_DROP_MALFORMED : 0;
}

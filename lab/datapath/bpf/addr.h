/* Addresses: IPv4 mapped into 16 bytes, MACs as values. */
#pragma once

#include "abi.h"

static __always_inline struct hnv_addr addr_from_ip4(__be32 ip)
{
	struct hnv_addr addr = { .word = { 0, 0, bpf_htonl(0xffff), ip } };

	return addr;
}

static __always_inline bool addr_equal(const struct hnv_addr *a, const struct hnv_addr *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] &&
	       a->word[2] == b->word[2] && a->word[3] == b->word[3];
}

static __always_inline bool addr_is_zero(const struct hnv_addr *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline bool addr_is_ip4(const struct hnv_addr *a, __be32 ip)
{
	struct hnv_addr mapped = addr_from_ip4(ip);

	return addr_equal(a, &mapped);
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] &&
	       a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

static __always_inline bool mac_is_multicast(const __u8 *mac)
{
	return mac[0] & 1;
}

static __always_inline struct hnv_mac mac_of(const __u8 *bytes)
{
	struct hnv_mac mac;

	__builtin_memcpy(mac.byte, bytes, sizeof(mac.byte));
	return mac;
}

/* 224.0.0.0 and above: multicast, reserved, limited broadcast. */
static __always_inline bool ip4_is_unicast(__be32 ip)
{
	return bpf_ntohl(ip) < 0xe0000000;
}

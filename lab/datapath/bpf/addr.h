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
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] &&
	       a->word[1] == b->word[1] && a->word[0] == b->word[0];
}

static __always_inline bool addr_is_zero(const struct hnv_addr *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline bool addr_is_mapped(const struct hnv_addr *a)
{
	return !(a->word[0] | a->word[1]) && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr_is_ip4(const struct hnv_addr *a, __be32 ip)
{
	return addr_is_mapped(a) && a->word[3] == ip;
}

/* Link-local unicast (RFC 4291 §2.5.6) with the interface identifier that a MAC gives (appendix A). */
static __always_inline struct hnv_addr addr_link_local(const __u8 *mac)
{
	struct hnv_addr addr = { .word = {
		bpf_htonl(0xfe800000),
		0,
		bpf_htonl((__u32)(mac[0] ^ 2) << 24 | mac[1] << 16 | mac[2] << 8 | 0xff),
		bpf_htonl(0xfe000000u | mac[3] << 16 | mac[4] << 8 | mac[5]),
	} };

	return addr;
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

/* IPv4 multicast and limited broadcast, IPv6 multicast. */
static __always_inline bool addr_is_many(const struct hnv_addr *a)
{
	if (addr_is_mapped(a))
		return (bpf_ntohl(a->word[3]) & 0xf0000000) == 0xe0000000 || a->word[3] == 0xffffffff;
	return (bpf_ntohl(a->word[0]) & 0xff000000) == 0xff000000;
}

/* Not to be sent to: "this network", loopback and reserved (RFC 6890), unspecified. */
static __always_inline bool addr_is_nobody(const struct hnv_addr *a)
{
	if (addr_is_mapped(a)) {
		__u8 first = bpf_ntohl(a->word[3]) >> 24;

		return !first || first == 127 || first >= 240;
	}
	return !(a->word[0] | a->word[1] | a->word[2]) && !(a->word[3] & bpf_htonl(~1u));
}

/* One that a packet may name as its source: no loopback, multicast or unspecified address. */
static __always_inline bool addr_is_station(const struct hnv_addr *a)
{
	if (addr_is_mapped(a)) {
		__u8 first = bpf_ntohl(a->word[3]) >> 24;

		return a->word[3] && first != 127 && first >> 4 != 14;
	}
	return !addr_is_many(a) && !addr_is_nobody(a);
}

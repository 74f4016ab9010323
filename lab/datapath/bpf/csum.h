/* Internet checksums (RFC 1071, RFC 1624). */
#pragma once

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Of a complete IPv4 header without options whose check field is zero; on a 2-byte boundary. */
static __always_inline __u16 csum_ip4(const void *ip)
{
	const __u16 *half = ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)sizeof(struct iphdr) / 2; i++)
		sum += half[i];
	return csum_fold(sum);
}

/* The check field after one 16-bit word changed: HC' = ~(~HC + ~m + m') (RFC 1624 eqn. 3). */
static __always_inline __u16 csum_replace(__u16 check, __u16 before, __u16 after)
{
	return csum_fold((__u16)~check + (__u16)~before + after);
}

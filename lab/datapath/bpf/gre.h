/* GRE with a key (RFC 2784, RFC 2890), and room for an outer header. */
#pragma once

#define GRE_KEY_PRESENT 0x2000          /* and nothing else: no checksum, sequence or routing, version 0 */
#define KERNEL_EALREADY 114
/* BPF_F_ADJ_ROOM_DECAP_L3_IPV6, Linux 6.3: lets the kernel know as IPv6 again what leaves a tunnel. It has to, to check
 * and cut super-packets; older kernels do not know the flag. */
#define DECAP_L3_IPV6 (1ull << 8)

struct gre_header {
	__be16 flags;
	__be16 protocol;
	__be32 key;
};

/* `l4`: BPF_F_ADJ_ROOM_ENCAP_L4_GRE or _UDP. With it the kernel marks where the inner IP header is, by which it checks
 * and cuts a super-packet.
 *
 * An inner Ethernet header is not marked, but passes for part of the outer one, which is copied as it is. A packet that
 * left another tunnel in this kernel still bears that tunnel's marks, and no helper clears them. They are
 * absolute offsets and fit every outer header, of whatever length, that ends where the inner IP header begins. */
static __always_inline int outer_make_room(struct __sk_buff *skb, __u32 overhead, __u64 l4)
{
	int error = bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC,
					BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | l4);

	if (error == -KERNEL_EALREADY)
		error = bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	return error;
}

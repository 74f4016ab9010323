/* GRE with a key (RFC 2784, RFC 2890), and room for an outer header. */
#pragma once

#define GRE_KEY_PRESENT 0x2000          /* and nothing else: no checksum, sequence or routing, version 0 */
#define KERNEL_EALREADY 114

struct gre_header {
	__be16 flags;
	__be16 protocol;
	__be32 key;
};

/* `marks`: what the kernel is to know of the outer header (BPF_F_ADJ_ROOM_ENCAP_), to cut a super-packet by. */
static __always_inline int outer_make_room(struct __sk_buff *skb, __u32 overhead, __u64 marks)
{
	int error = bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | marks);

	/* A packet that left another tunnel in this kernel still bears that tunnel's marks, which no helper
	 * clears. They are absolute offsets and fit a header of the same shape. */
	if (error == -KERNEL_EALREADY)
		error = bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	return error;
}

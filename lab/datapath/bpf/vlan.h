/* 802.1Q and 802.1ad tags, by their ethertypes. */
#pragma once

static __always_inline bool is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

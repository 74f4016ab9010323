/* Lengths that helpers are given. */
#pragma once

/* Whether a length is 1 to max, said so that every verifier sees it: Linux 6.1 forgets a bound that the compiler
 * checks on a copy of the length, or on the length less one, and refuses the call that comes after it. */
static __always_inline bool length_fits(__u32 *len, __u32 max)
{
	__u32 last = *len - 1;

	asm volatile("" : "+r"(last));
	if (last >= max)
		return false;
	*len = last + 1;
	return true;
}

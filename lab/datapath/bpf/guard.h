/* What only some VMs may say (Set-VMNetworkAdapter -DhcpGuard, -RouterGuard). */
#pragma once

#include "maps.h"
#include "pass.h"

#define DHCP_SERVER_PORT 67             /* RFC 2131 §4.1 */
#define DHCP6_SERVER_PORT 547           /* RFC 8415 §7.2 */

static __always_inline int guard_check(const struct pass *pass, const struct hnv_vport *port)
{
	__u16 server = pass->ip_version == 4 ? DHCP_SERVER_PORT : DHCP6_SERVER_PORT;

	if (pass->protocol != IPPROTO_UDP || pass->source_port != bpf_htons(server) ||
	    port->flags & HNV_PORT_DHCP_SERVER)
		return 0;
	return -HNV_DROP_DHCP_GUARD;
}

/* A router advertisement or a redirect. */
static __always_inline int guard_check_router(const struct hnv_vport *port)
{
	return port->flags & HNV_PORT_ROUTER ? 0 : -HNV_DROP_RA_GUARD;
}

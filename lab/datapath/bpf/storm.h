/* Limits in packets per second: broadcast and multicast that a port may send (Set-VMNetworkAdapter -StormLimit),
 * ICMP errors that it gets. */
#pragma once

#include "maps.h"
#include "pass.h"
#include "rate.h"

static __always_inline int storm_check(const struct pass *pass, const struct hnv_vport *port)
{
	if (!port->storm_pps || rate_allows(RATE_STORM, pass->port, port->storm_pps, pass->packets))
		return 0;
	return -HNV_DROP_STORM;
}

/* RFC 1812 §4.3.2.8: a router limits the errors that it sends. */
static __always_inline bool storm_icmp_allowed(const struct pass *pass)
{
	const struct hnv_settings *settings = settings_get();

	return settings && rate_allows(RATE_ICMP_ERROR, pass->port, settings->icmp_pps, 1);
}

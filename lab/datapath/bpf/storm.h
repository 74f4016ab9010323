/* Storm limit: broadcast and multicast that one port may send (Set-VMNetworkAdapter -StormLimit). */
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

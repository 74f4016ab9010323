"""Between which machines of a lab a packet can be traced. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from lab.engine.trace_packet import Address
from lab.model.lab import Lab
from lab.model.tenants import Tenant


@dataclass(frozen=True, slots=True)
class End:
    """One end of a trace.

    Attributes:
        node: name of the machine; empty: an address that no machine of the tenant has.
        tenant: whose network it is in, or beyond whose connection.
        port: the vport of the machine; empty: it has none.
    """

    node: str
    address: Address
    tenant: Tenant
    port: str = ""


def ends(lab: Lab) -> Mapping[str, End]:
    """Every machine of a tenant by its name: VMs, sites, and the servers of sites."""
    found: dict[str, End] = {}
    for tenant in lab.tenants:
        for vm in tenant.vms:
            port = next(link.first.interface for link in lab.links_of(vm.name) if link.first.alias)
            found[vm.name] = End(vm.name, vm.address, tenant, port)
        for connection in tenant.gateway.connections if tenant.gateway else ():
            site = connection.site
            if site is not None:
                found[site.name] = End(site.name, site.bgp_peer, tenant)
                found |= {name: End(name, address, tenant) for name, address in _servers(lab, site.name)}
    return found


def end_at(every: Iterable[End], text: str, tenant: Tenant) -> End | None:
    """The end with an address, seen from a tenant's network; None: the text is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    for end in every:
        if end.tenant.name == tenant.name and end.address == address:
            return end
    return End("", address, tenant)


def _servers(lab: Lab, site: str) -> Iterable[tuple[str, Address]]:
    """Machines on a site's network."""
    neighbours = {end.node for link in lab.links_of(site) for end in link.ends if end.bridge is None}
    for name in sorted(neighbours - {site, lab.fabric.internet, lab.fabric.router}):
        for item in lab.nodes[name].addresses:
            yield name, item.address.ip

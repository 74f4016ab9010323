"""Sites without BGP, and lines between the sites of one corporation."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.attachment import connection_to, gateway_vms, site_connections
from lab.model.codes import Code, Finding
from lab.model.topology import LineSpec, Topology
from lab.model.topology_connections import IpsecConnectionSpec


def sites_without_bgp(topology: Topology) -> Iterator[Finding]:
    """What nobody announces needs a static route, at both ends."""
    for tenant, name, connection in site_connections(topology):
        site = topology.sites.get(connection.site)
        if site is None or site.asn is not None:
            continue
        if not isinstance(connection, IpsecConnectionSpec):
            message = f"`{connection.site}` has no `asn`, and its connection is of type `{connection.type}`"
            expected = "`asn`: an edge knows the VM network by BGP only"
            yield Finding(Code.LINE, ("sites", connection.site), message, expected)
        elif not connection.routes:
            yield Finding(
                Code.LINE,
                ("tenants", tenant, "gateway", "connections", name),
                f"nothing leads to `{connection.site}`: it has no `asn`, so nobody announces its network",
                "static routes, or a BGP router at the site",
                f"add `routes: {{{site.lan.prefix}: {connection.metric}}}`",
            )


def lines(topology: Topology) -> Iterator[Finding]:
    """A line joins two IPsec sites of one tenant, by a network of its own."""
    owners = {vm.site: tenant for tenant, _, _, vm in gateway_vms(topology)}
    owners |= {connection.site: tenant for tenant, _, connection in site_connections(topology)}
    for site, spec in topology.sites.items():
        if spec.line is not None:
            for message, expected in _broken(topology, site, spec.line, owners):
                yield Finding(Code.LINE, ("sites", site, "line"), message, expected)


def _broken(
    topology: Topology, site: str, line: LineSpec, owners: dict[str, str]
) -> Iterator[tuple[str, str]]:
    other = topology.sites.get(line.to)
    if other is None or line.to == site:
        yield f"`{line.to}` is no other site", "the name of another site"
        return
    if owners.get(site) != owners.get(line.to):
        yield f"`{site}` and `{line.to}` are sites of two tenants", "two sites of one tenant"
    for name in (site, line.to):
        connection = connection_to(topology, name)
        if connection is not None and not isinstance(connection, IpsecConnectionSpec):
            yield f"`{name}` is an edge (`{connection.type}`)", "two sites that are reached by IPsec"
    for name in (site, line.to):
        spec = topology.sites[name]
        for network in (spec.lan.prefix, spec.wan.network):
            if line.prefix.overlaps(network):
                yield f"{line.prefix} overlaps {network} of `{name}`", "a network of the line's own"
    if other.line is not None and other.line.to == site and site > line.to:
        yield f"`{line.to}` has this line already", "each line once"


RULES = (sites_without_bgp, lines)

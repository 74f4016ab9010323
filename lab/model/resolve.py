"""From a valid topology to a `Lab`: every address, name, link and route that the file leaves open, by rule.

Addresses are given out in the order of the file, so that a lab's nodes keep theirs from one run to the next:
the router of a segment is first, the controller second on the management network, then hosts, then gateways.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from lab.model import wiring
from lab.model.attachment import free_front_end
from lab.model.check import (
    Check,
    DnsCheck,
    HttpCheck,
    PingCheck,
    PolicyCheck,
    PolicyEntriesCheck,
    TcpCheck,
    TracerouteCheck,
)
from lab.model.defaults import routing_domain
from lab.model.edges import announced
from lab.model.lab import Fabric, Gateway, Host, Lab, Segment
from lab.model.networks import hosts_of, router_of
from lab.model.resolve_tenant import resolve_tenant
from lab.model.topology import Topology
from lab.model.topology_checks import CheckSpec
from lab.model.types import VM_MTU

DEFAULT_TEAM = "hyper-v-port"
"""Each vport keeps to one uplink: the mode that needs nothing of the physical switches."""


def resolve(topology: Topology) -> Lab:
    """Decide everything that a valid topology leaves open. Pure."""
    management = hosts_of(topology.fabric.management.prefix)
    next(management)  # the router's
    fabric = _fabric(topology, controller_address=next(management))
    front_end = free_front_end(topology)
    hosts = tuple(
        Host(name, next(management), spec.uplinks, spec.team or DEFAULT_TEAM, spec.uplink_mbps)
        for name, spec in topology.hosts.items()
    )
    gateways = tuple(
        Gateway(name, next(management), next(front_end), spec.capacity_kbps)
        for name, spec in topology.gateways.items()
    )
    tenants = tuple(resolve_tenant(topology, name, spec) for name, spec in topology.tenants.items())
    parts = wiring.Parts(topology, fabric, hosts, gateways, tenants)
    return Lab(
        name=topology.lab,
        fabric=fabric,
        hosts=hosts,
        gateways=gateways,
        tenants=tenants,
        nodes=wiring.nodes(parts),
        links=wiring.links(parts),
        checks=tuple(_check(topology, check) for check in topology.checks),
    )


def _fabric(topology: Topology, controller_address: IPv4Address) -> Fabric:
    spec = topology.fabric

    def segment(prefix: IPv4Network, bridge: str, mtu: int) -> Segment:
        return Segment(prefix=prefix, router=router_of(prefix), bridge=bridge, mtu=mtu)

    return Fabric(
        management=segment(spec.management.prefix, "br-mgmt", VM_MTU),
        provider=segment(spec.provider.prefix, "br-pa", spec.provider.mtu),
        front_end=segment(spec.front_end.prefix, "br-fe", VM_MTU),
        pool_first=spec.provider.pool.first,
        pool_last=spec.provider.pool.last,
        vip=spec.front_end.vip,
        controller=spec.controller,
        router=spec.router,
        internet=spec.internet,
        controller_address=controller_address,
        encapsulation=spec.provider.encapsulation,
        dscp=spec.provider.dscp,
        external_router=spec.provider.router == "external",
        gre_vips=spec.front_end.gre_vips,
        asn=spec.front_end.asn,
        gateway_asn=spec.front_end.gateway_asn,
        redundant_gateways=spec.redundant_gateways,
        announced=announced(topology),
    )


def _check(topology: Topology, spec: CheckSpec) -> Check:
    found = next(_checks(topology, spec), None)
    if found is None:
        raise ValueError(f"check {spec.name!r} asserts nothing: the topology was not validated")
    return found


def _checks(topology: Topology, spec: CheckSpec) -> Iterator[Check]:
    name, node = spec.name, spec.from_ or ""
    if spec.http:
        yield HttpCheck(name, node, spec.http.url, spec.http.contains)
    if spec.tcp:
        yield TcpCheck(name, node, spec.tcp.address, spec.tcp.port, spec.tcp.reachable)
    if spec.dns:
        yield DnsCheck(name, node, spec.dns.name, spec.dns.address)
    if spec.ping:
        yield PingCheck(name, node, spec.ping.address, spec.ping.reachable)
    if spec.traceroute:
        yield TracerouteCheck(name, node, spec.traceroute.address, spec.traceroute.hops)
    if spec.policy:
        rdid = routing_domain(topology, spec.policy.tenant)
        yield PolicyCheck(
            name, spec.policy.host, spec.policy.tenant, rdid, spec.policy.prefix, spec.policy.present
        )
    if spec.policy_entries:
        entries = spec.policy_entries
        yield PolicyEntriesCheck(name, entries.node, entries.at_least, entries.at_most)

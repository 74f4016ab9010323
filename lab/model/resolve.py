"""From a valid topology to a `Lab`: every address, name, link and route that the file leaves open, by rule.

Addresses are given out in the order of the file, so that a lab's nodes keep theirs from one run to the next:
the router of a segment is first, the controller second on the management network, then hosts, then gateways.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from lab.model import wiring
from lab.model.check import (
    Check,
    DnsCheck,
    HttpCheck,
    PingCheck,
    PolicyCheck,
    TcpCheck,
    TracerouteCheck,
)
from lab.model.defaults import default_mac, routing_domain
from lab.model.lab import (
    Connection,
    Fabric,
    Gateway,
    Host,
    Lab,
    Segment,
    Subnet,
    Tenant,
    TenantGateway,
    Vm,
)
from lab.model.networks import compartment_of, hosts_of, router_of
from lab.model.topology import CheckSpec, TenantSpec, Topology
from lab.model.types import VM_MTU


def resolve(topology: Topology) -> Lab:
    """Decide everything that a valid topology leaves open. Pure."""
    management = hosts_of(topology.fabric.management.prefix)
    next(management)  # the router's
    fabric = _fabric(topology, controller_address=next(management))
    front_end = (
        a for a in hosts_of(fabric.front_end.prefix) if a not in (fabric.front_end.router, fabric.vip)
    )
    hosts = tuple(Host(name, next(management)) for name in topology.hosts)
    gateways = tuple(
        Gateway(name, next(management), next(front_end), spec.capacity_kbps)
        for name, spec in topology.gateways.items()
    )
    tenants = tuple(_tenant(topology, name, spec) for name, spec in topology.tenants.items())
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
    )


def _tenant(topology: Topology, name: str, spec: TenantSpec) -> Tenant:
    return Tenant(
        name=name,
        routing_domain=routing_domain(topology, name),
        subnets=tuple(
            Subnet(subnet, given.vsid, given.prefix, router_of(given.prefix))
            for subnet, given in spec.subnets.items()
        ),
        vms=tuple(
            Vm(
                name=vm,
                host=given.host,
                subnet=given.subnet,
                address=given.address,
                mac=given.mac or default_mac(given.address),
                dns=(given.dns,) if given.dns else (),
            )
            for vm, given in spec.vms.items()
        ),
        gateway=_tenant_gateway(topology, spec),
    )


def _tenant_gateway(topology: Topology, tenant: TenantSpec) -> TenantGateway | None:
    if tenant.gateway is None:
        return None
    return TenantGateway(
        subnet=tenant.gateway.subnet,
        address=compartment_of(tenant.subnets[tenant.gateway.subnet].prefix),
        asn=tenant.gateway.asn,
        hold_time_s=tenant.gateway.hold_time_s,
        connections=tuple(
            Connection(
                name=name,
                type=spec.type,
                site=spec.site,
                peer=topology.sites[spec.site].wan.ip,
                shared_secret=spec.shared_secret,
                bgp_peer=router_of(topology.sites[spec.site].lan.prefix),
                bgp_peer_asn=topology.sites[spec.site].asn,
                outbound_kbps=spec.outbound_kbps,
                inbound_kbps=spec.inbound_kbps,
            )
            for name, spec in tenant.gateway.connections.items()
        ),
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

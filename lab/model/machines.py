"""The nodes that run what the topology file says: VMs, partner appliances, servers of sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from lab.model.lab import Fabric, Node, NodeKind, Route, SiteConfig
from lab.model.networks import router_of
from lab.model.node_settings import (
    APPLIANCE,
    DEFAULT_ROUTE,
    DEFAULT_ROUTE_IPV6,
    IPV6_ROUTING,
    NO_IPV6,
    NO_IPV6_MACHINE,
    NOT_ROUTING,
    on_network,
    static_ipv6,
)
from lab.model.tenants import GatewayVm, Tenant, Vm
from lab.model.topology import SiteSpec, Topology
from lab.model.topology_tenants import Machine, VmSpec
from lab.model.types import IpAddress, IpNetwork

ETHERNET = "eth0"
"""A machine's card."""
WAN = "wan0"
"""A gateway VM's second interface, on the front-end network."""


def gateway_vms(tenants: tuple[Tenant, ...]) -> Iterator[Vm]:
    """The VMs that are their tenant's gateway."""
    return (vm for tenant in tenants for vm in tenant.vms if vm.gateway is not None)


def vms(topology: Topology, fabric: Fabric, tenants: tuple[Tenant, ...]) -> Iterator[Node]:
    """The tenants' VMs. IPv6 is spoken in IPv6 subnets only."""
    for tenant in tenants:
        subnets = {subnet.name: subnet for subnet in tenant.subnets}
        for vm in tenant.vms:
            spec, prefix = topology.tenants[tenant.name].vms[vm.name], subnets[vm.subnet].prefix
            if vm.gateway is not None and isinstance(prefix, IPv4Network):
                yield _gateway_vm(fabric, vm, vm.gateway, spec, prefix)
                continue
            node = _machine(vm.name, NodeKind.VM, spec, vm.address, prefix)
            yield replace(
                node,
                dns=vm.dns,
                sysctls=APPLIANCE if vm.forwarding else NOT_ROUTING,
                interface_sysctls=_ipv6_settings(spec, prefix),
            )


def _gateway_vm(fabric: Fabric, vm: Vm, gateway: GatewayVm, spec: VmSpec, subnet: IPv4Network) -> Node:
    """Dual-homed: VMs on one side, by the distributed router; the peer of its tunnel on the other."""
    front_end = fabric.front_end
    machine = _container(vm.name, NodeKind.GATEWAY_VM, spec)
    return replace(
        machine,
        image="fabric",
        addresses=(
            on_network(ETHERNET, vm.address, subnet),
            on_network(WAN, gateway.public_address, front_end.prefix),
        ),
        # No default route: without charon's device only the way to the peer itself leads out, and what is
        # for the site is refused, not sent unencrypted.
        routes=(
            Route(IPv4Network(gateway.peer), front_end.router),
            *(Route(prefix, router_of(subnet)) for prefix in gateway.prefixes),
        ),
        sysctls=APPLIANCE,
        # What comes out of the tunnel is routed; what comes beside it, from the internet, is not.
        interface_sysctls={f"net.ipv4.conf.{WAN}.forwarding": "0", **NO_IPV6},
        site=SiteConfig(
            name=vm.name,
            lan_prefix=str(subnet),
            lan_router=str(vm.address),
            wan_address=str(gateway.public_address),
            vip=str(gateway.peer),
            shared_secret=gateway.shared_secret,
            compartment_address=str(router_of(gateway.lan)),
            router_id=str(vm.address),
            calls=False,
            routes=(str(gateway.lan),),
            local_asn=0,
            peer_asn=0,
            hold_time_s=0,
        ),
    )


def far_end(vm: Vm, gateway: GatewayVm, site: SiteSpec) -> SiteConfig:
    """What the site of a gateway VM must know of it."""
    return SiteConfig(
        name=gateway.site,
        lan_prefix=str(site.lan.prefix),
        lan_router=str(router_of(site.lan.prefix)),
        wan_address=str(gateway.peer),
        vip=str(gateway.public_address),
        shared_secret=gateway.shared_secret,
        compartment_address=str(vm.address),
        router_id=str(router_of(site.lan.prefix)),
        routes=tuple(map(str, gateway.prefixes)),
        local_asn=site.asn or 0,
        peer_asn=0,
        hold_time_s=0,
    )


def _ipv6_settings(spec: VmSpec, prefix: IpNetwork) -> Mapping[str, str]:
    if prefix.version == 4:
        return NO_IPV6_MACHINE
    return {**(IPV6_ROUTING if spec.forwarding else {}), **static_ipv6(ETHERNET)}


def appliances(topology: Topology, fabric: Fabric, tenants: tuple[Tenant, ...]) -> Iterator[Node]:
    """Partner appliances: on the provider network, and on no other."""
    for tenant in tenants:
        for appliance in tenant.appliances:
            spec = topology.tenants[tenant.name].appliances[appliance.name]
            address = on_network("pa0", appliance.provider_address, fabric.provider.prefix)
            yield replace(
                _container(appliance.name, NodeKind.APPLIANCE, spec),
                addresses=(address,),
                interface_sysctls=NO_IPV6,
            )


def servers(topology: Topology) -> Iterator[Node]:
    """The servers of the customers' sites."""
    for site in topology.sites.values():
        for name, spec in site.servers.items():
            node = _machine(name, NodeKind.SERVER, spec, spec.address, site.lan.prefix)
            node = replace(node, dns=(spec.dns,) if spec.dns else (), interface_sysctls=NO_IPV6_MACHINE)
            yield _with_ipv6(node, spec.ipv6_address, site.lan.ipv6_prefix)


def _with_ipv6(node: Node, address: IPv6Address | None, network: IPv6Network | None) -> Node:
    if address is None or network is None:
        return node
    return replace(
        node,
        addresses=(*node.addresses, on_network(ETHERNET, address, network)),
        routes=(*node.routes, Route(DEFAULT_ROUTE_IPV6, router_of(network))),
        interface_sysctls=static_ipv6(ETHERNET),
    )


def _machine(name: str, kind: NodeKind, spec: Machine, address: IpAddress, network: IpNetwork) -> Node:
    """A VM or server: one card, and the network's first address for everything beyond it."""
    default = DEFAULT_ROUTE if network.version == 4 else DEFAULT_ROUTE_IPV6
    return replace(
        _container(name, kind, spec),
        addresses=(on_network(ETHERNET, address, network),),
        routes=(Route(default, router_of(network)),),
        interface_sysctls=NO_IPV6,
    )


def _container(name: str, kind: NodeKind, spec: Machine) -> Node:
    return Node(
        name=name,
        kind=kind,
        image=spec.image,
        command=spec.command,
        environment=dict(spec.environment),
        files=dict(spec.files),
        sysctls=NOT_ROUTING,
        fixed=True,
    )

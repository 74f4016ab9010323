"""A tenant out of a valid topology: names become references, what is left open is decided by rule."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from lab.model.defaults import default_mac, priority_of, routing_domain
from lab.model.networks import compartment_of, router_of
from lab.model.resolve_connections import resolve_connection, resolve_dial_in
from lab.model.tenants import (
    AccessControlList,
    AclRule,
    Appliance,
    GatewayVm,
    Ipv6Place,
    Qos,
    Subnet,
    Tenant,
    TenantGateway,
    UserRoute,
    Vm,
)
from lab.model.topology import Topology
from lab.model.topology_tenants import AclRuleSpec, ApplianceSpec, QosSpec, SubnetSpec, TenantSpec, VmSpec


def resolve_tenant(topology: Topology, name: str, spec: TenantSpec) -> Tenant:
    """Decide everything that a valid topology leaves open of one tenant. Pure."""
    return Tenant(
        name=name,
        routing_domain=routing_domain(topology, name),
        subnets=tuple(
            Subnet(
                name=subnet,
                vsid=given.vsid,
                prefix=given.prefix,
                router=router_of(given.prefix),
                acl=given.acl,
                routes=_user_routes(topology, spec, subnet, given),
            )
            for subnet, given in spec.subnets.items()
        ),
        vms=tuple(_vm(topology, spec, vm, given) for vm, given in spec.vms.items()),
        gateway=_tenant_gateway(topology, name, spec),
        appliances=tuple(_appliance(name, given) for name, given in spec.appliances.items()),
        acls=tuple(AccessControlList(acl, _rules(rules)) for acl, rules in spec.acls.items()),
    )


def _user_routes(
    topology: Topology, tenant: TenantSpec, name: str, subnet: SubnetSpec
) -> tuple[UserRoute, ...]:
    """A tenant's own gateway is where the hosts send what is for its site; it knows the way itself."""
    given = tuple(UserRoute(prefix, next_hop) for prefix, next_hop in subnet.routes.items())
    return given + tuple(
        UserRoute(topology.sites[vm.gateway.site].lan.prefix, vm.address)
        for vm in tenant.vms.values()
        if vm.gateway is not None and vm.subnet != name and subnet.prefix.version == 4
    )


def _vm(topology: Topology, tenant: TenantSpec, name: str, spec: VmSpec) -> Vm:
    qos = spec.qos or QosSpec()
    return Vm(
        name=name,
        host=spec.host,
        subnet=spec.subnet,
        address=spec.address,
        mac=spec.mac or default_mac(spec.address),
        dns=(spec.dns,) if spec.dns else (),
        acl=spec.acl,
        forwarding=spec.forwards,
        dhcp_guard=spec.dhcp_guard,
        router_guard=spec.router_guard,
        storm_limit_pps=spec.storm_limit,
        qos=Qos(qos.outbound_maximum_mbps, qos.outbound_reserved_mbps, qos.inbound_maximum_mbps),
        gateway=_gateway_vm(topology, tenant, spec),
    )


def _gateway_vm(topology: Topology, tenant: TenantSpec, vm: VmSpec) -> GatewayVm | None:
    spec = vm.gateway
    if spec is None:
        return None
    site = topology.sites[spec.site]
    others = (subnet.prefix for name, subnet in tenant.subnets.items() if name != vm.subnet)
    return GatewayVm(
        public_address=spec.public_address,
        site=spec.site,
        peer=site.wan.ip,
        lan=site.lan.prefix,
        shared_secret=spec.shared_secret,
        prefixes=tuple(prefix for prefix in others if isinstance(prefix, IPv4Network)),
    )


def _appliance(name: str, spec: ApplianceSpec) -> Appliance:
    return Appliance(
        name=name,
        provider_address=spec.provider_address,
        subnet=spec.subnet,
        address=spec.address,
        mac=spec.mac or default_mac(spec.address),
        forwarding=spec.forwarding,
    )


def _rules(rules: tuple[AclRuleSpec, ...]) -> tuple[AclRule, ...]:
    resolved = (
        AclRule(
            name=rule.name,
            allow=rule.action == "allow",
            inbound=rule.direction == "inbound",
            protocol=rule.protocol,
            source=rule.source,
            destination=rule.destination,
            source_ports=rule.source_ports,
            destination_ports=rule.destination_ports,
            priority=priority_of(rule, position),
            log=rule.log,
        )
        for position, rule in enumerate(rules)
    )
    return tuple(sorted(resolved, key=lambda rule: rule.priority))


def _tenant_gateway(topology: Topology, name: str, tenant: TenantSpec) -> TenantGateway | None:
    if tenant.gateway is None:
        return None
    prefix = tenant.subnets[tenant.gateway.subnet].prefix
    if not isinstance(prefix, IPv4Network):
        raise ValueError("the gateway subnet is no IPv4 network: the topology was not validated")
    return TenantGateway(
        subnet=tenant.gateway.subnet,
        address=compartment_of(prefix),
        asn=tenant.gateway.asn,
        hold_time_s=tenant.gateway.hold_time_s,
        connections=tuple(
            resolve_connection(topology, name, connection, spec)
            for connection, spec in tenant.gateway.connections.items()
        ),
        dial_in=resolve_dial_in(name, tenant.gateway.dial_in) if tenant.gateway.dial_in else None,
        ipv6=_ipv6_place(tenant, tenant.gateway.ipv6_subnet),
    )


def _ipv6_place(tenant: TenantSpec, subnet: str | None) -> Ipv6Place | None:
    if subnet is None:
        return None
    prefix = tenant.subnets[subnet].prefix
    if not isinstance(prefix, IPv6Network):
        raise ValueError("the IPv6 gateway subnet is no IPv6 network: the topology was not validated")
    return Ipv6Place(subnet, compartment_of(prefix))

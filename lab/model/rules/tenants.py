"""VM networks: unique in the datacenter where they must be, and free of conflicts inside.

Between two VM networks everything may overlap, MAC addresses included: that is what HNV is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lab.model.codes import Code, Finding, Path
from lab.model.defaults import default_mac, routing_domain
from lab.model.networks import unusable
from lab.model.topology import Topology
from lab.model.topology_tenants import ApplianceSpec, TenantSpec, VmSpec


def unique_vsids(topology: Topology) -> Iterator[Finding]:
    """A VSID is unique in the datacenter (RFC 7637 section 3.1; Microsoft, HNV technical details)."""
    seen: dict[int, str] = {}
    for name, tenant in topology.tenants.items():
        for subnet, spec in tenant.subnets.items():
            if spec.vsid in seen:
                yield Finding(
                    Code.VSID,
                    ("tenants", name, "subnets", subnet, "vsid"),
                    f"VSID {spec.vsid} is already that of {seen[spec.vsid]}",
                    "a VSID is unique in the datacenter, across all tenants",
                )
            seen.setdefault(spec.vsid, f"{name}/{subnet}")


def unique_routing_domains(topology: Topology) -> Iterator[Finding]:
    """Each VM network is one routing domain."""
    seen: dict[str, str] = {}
    for name, tenant in topology.tenants.items():
        rdid = routing_domain(topology, name)
        if rdid in seen:
            yield Finding(
                Code.ROUTING_DOMAIN,
                ("tenants", name, "routing-domain"),
                f"tenant `{seen[rdid]}` has the routing domain {rdid} already",
                "every tenant has a routing domain of its own",
                "leave the key away: one is derived from the tenant's name" if tenant.routing_domain else "",
            )
        seen.setdefault(rdid, name)


def subnets_apart(topology: Topology) -> Iterator[Finding]:
    """Inside one VM network the distributed router must tell the subnets apart."""
    for name, tenant in topology.tenants.items():
        for (first, one), (second, other) in combinations(tenant.subnets.items(), 2):
            if one.prefix.overlaps(other.prefix):
                yield Finding(
                    Code.SUBNET_OVERLAP,
                    ("tenants", name, "subnets", second, "prefix"),
                    f"subnet `{second}` {other.prefix} overlaps subnet `{first}` {one.prefix}",
                    "subnets of one VM network do not overlap (those of different tenants may)",
                )


def machines(tenant: TenantSpec) -> Iterator[tuple[str, str, VmSpec | ApplianceSpec]]:
    """Whoever has a customer address: the key that it stands under, its name, and what it is."""
    yield from (("vms", name, vm) for name, vm in tenant.vms.items())
    yield from (("appliances", name, appliance) for name, appliance in tenant.appliances.items())


def addresses(topology: Topology) -> Iterator[Finding]:
    """Address and MAC of a VM or appliance: in its subnet, not reserved, its own."""
    for name, tenant in topology.tenants.items():
        taken: dict[tuple[str, str], str] = {}
        macs: dict[tuple[str, str], str] = {}
        whole = f"VM network `{name}`"
        for kind, vm, spec in machines(tenant):
            subnet = tenant.subnets.get(spec.subnet)
            path = ("tenants", name, kind, vm)
            if subnet is not None and (why := unusable(spec.address, subnet.prefix)):
                code = Code.RESERVED if spec.address in subnet.prefix else Code.OUTSIDE
                expected = (
                    f"a host address of subnet `{spec.subnet}`, not its first, which every host routes by"
                )
                yield Finding(code, (*path, "address"), f"{spec.address} {why}", expected)
            key = (f"subnet `{spec.subnet}`", str(spec.address))
            yield from _taken(taken, key, vm, Code.DUPLICATE_ADDRESS, (*path, "address"))
            mac = spec.mac or default_mac(spec.address)
            if taken[key] == vm:
                yield from _taken(macs, (whole, mac), vm, Code.DUPLICATE_MAC, (*path, "mac"))


def _taken(
    seen: dict[tuple[str, str], str], key: tuple[str, str], vm: str, code: Code, path: Path
) -> Iterator[Finding]:
    if key in seen:
        where, value = key
        yield Finding(
            code,
            path,
            f"`{seen[key]}` has {value} already",
            f"each {value} once in {where}",
        )
    seen.setdefault(key, vm)


def gateway_subnets(topology: Topology) -> Iterator[Finding]:
    """A tenant's gateway has a virtual subnet of its own (Microsoft, HNV gateway architecture)."""
    for name, tenant in topology.tenants.items():
        gateway = tenant.gateway
        for kind, vm, spec in machines(tenant) if gateway else ():
            if gateway and spec.subnet in (gateway.subnet, gateway.ipv6_subnet):
                yield Finding(
                    Code.GATEWAY_SUBNET,
                    ("tenants", name, kind, vm, "subnet"),
                    f"`{spec.subnet}` is the gateway subnet of `{name}`",
                    "the gateway subnet holds the gateway and nothing else",
                    "give the gateway a subnet of its own",
                )


def gateway_families(topology: Topology) -> Iterator[Finding]:
    """A compartment is IPv4, as BGP sessions are, and may be IPv6 beside it, in a subnet of its own."""
    for name, tenant in topology.tenants.items():
        gateway = tenant.gateway
        places = {"subnet": (gateway.subnet, 4), "ipv6-subnet": (gateway.ipv6_subnet, 6)} if gateway else {}
        for key, (subnet, version) in places.items():
            spec = tenant.subnets.get(subnet) if subnet else None
            if spec is not None and spec.prefix.version != version:
                yield Finding(
                    Code.FAMILY,
                    ("tenants", name, "gateway", key),
                    f"the subnet `{subnet}`, {spec.prefix}, is IPv{spec.prefix.version}",
                    f"an IPv{version} subnet",
                    "`subnet` is that of IPv4, `ipv6-subnet` may stand beside it",
                )


def provider_addresses(topology: Topology) -> Iterator[Finding]:
    """A partner appliance has a provider address of its own, which the Network Controller gives to nobody."""
    provider = topology.fabric.provider
    seen: dict[str, str] = {}
    for name, tenant in topology.tenants.items():
        for appliance, spec in tenant.appliances.items():
            path = ("tenants", name, "appliances", appliance, "provider-address")
            address = spec.provider_address
            expected = f"a host address of {provider.prefix}, outside the pool"
            if why := unusable(address, provider.prefix):
                yield Finding(Code.PROVIDER_ADDRESS, path, f"{address} {why}", expected)
            elif provider.pool.first <= address <= provider.pool.last:
                yield Finding(Code.PROVIDER_ADDRESS, path, f"{address} is in the pool", expected)
            if str(address) in seen:
                message = f"`{seen[str(address)]}` has {address} already"
                yield Finding(Code.DUPLICATE_ADDRESS, path, message, "each provider address once")
            seen.setdefault(str(address), appliance)


RULES = (
    unique_vsids,
    unique_routing_domains,
    subnets_apart,
    addresses,
    gateway_subnets,
    gateway_families,
    provider_addresses,
)

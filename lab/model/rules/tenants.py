"""VM networks: unique in the datacenter where they must be, and free of conflicts inside.

Between two VM networks everything may overlap, MAC addresses included: that is what HNV is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lab.model.codes import Code, Finding, Path
from lab.model.defaults import default_mac, routing_domain
from lab.model.networks import unusable
from lab.model.topology import Topology, VmSpec


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


def vm_addresses(topology: Topology) -> Iterator[Finding]:
    """A VM's address and MAC: in its subnet, not reserved, its own."""
    for name, tenant in topology.tenants.items():
        addresses: dict[tuple[str, str], str] = {}
        macs: dict[tuple[str, str], str] = {}
        for vm, spec in tenant.vms.items():
            subnet = tenant.subnets.get(spec.subnet)
            path = ("tenants", name, "vms", vm)
            if subnet is not None and (why := unusable(spec.address, subnet.prefix)):
                code = Code.RESERVED if spec.address in subnet.prefix else Code.OUTSIDE
                expected = (
                    f"a host address of subnet `{spec.subnet}`, not its first, which every host routes by"
                )
                yield Finding(code, (*path, "address"), f"{spec.address} {why}", expected)
            yield from _taken(
                addresses, (spec.subnet, str(spec.address)), vm, Code.DUPLICATE_ADDRESS, (*path, "address")
            )
            mac = spec.mac or default_mac(spec.address)
            if addresses[spec.subnet, str(spec.address)] == vm:
                yield from _taken(macs, (spec.subnet, mac), vm, Code.DUPLICATE_MAC, (*path, "mac"))


def _taken(
    seen: dict[tuple[str, str], str], key: tuple[str, str], vm: str, code: Code, path: Path
) -> Iterator[Finding]:
    if key in seen:
        subnet, value = key
        yield Finding(
            code,
            path,
            f"`{seen[key]}` has {value} already",
            f"each {value} once in subnet `{subnet}` of one tenant",
        )
    seen.setdefault(key, vm)


def gateway_subnets(topology: Topology) -> Iterator[Finding]:
    """A tenant's gateway has a virtual subnet of its own (Microsoft, HNV gateway architecture)."""
    for name, tenant in topology.tenants.items():
        gateway = tenant.gateway
        vms: dict[str, VmSpec] = tenant.vms if gateway else {}
        for vm, spec in vms.items():
            if gateway and spec.subnet == gateway.subnet:
                yield Finding(
                    Code.GATEWAY_SUBNET,
                    ("tenants", name, "vms", vm, "subnet"),
                    f"`{spec.subnet}` is the gateway subnet of `{name}`",
                    "the gateway subnet holds the gateway and nothing else",
                    "give the gateway a subnet of its own",
                )


RULES = (unique_vsids, unique_routing_domains, subnets_apart, vm_addresses, gateway_subnets)

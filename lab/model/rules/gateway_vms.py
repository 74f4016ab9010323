"""VMs that are their tenant's gateway, as Windows Server 2012 had them (seed 001, figure 9)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from lab.model.attachment import gateway_vms
from lab.model.codes import Code, Finding
from lab.model.topology import Topology


def own_subnet(topology: Topology) -> Iterator[Finding]:
    """A gateway VM "must exist within its own dedicated virtual subnet" (seed 003), an IPv4 one."""
    for tenant, name, vm, _ in gateway_vms(topology):
        path = ("tenants", tenant, "vms", name)
        spec = topology.tenants[tenant]
        others = [other for other, item in spec.vms.items() if item.subnet == vm.subnet and other != name]
        if others:
            message = f"`{others[0]}` is in the subnet of the gateway `{name}`"
            yield Finding(Code.CONNECTION, (*path, "subnet"), message, "a subnet of the gateway's own")
        subnet = spec.subnets.get(vm.subnet)
        if subnet is not None and not isinstance(subnet.prefix, IPv4Network):
            message = f"{subnet.prefix} is IPv6"
            yield Finding(Code.FAMILY, (*path, "subnet"), message, "an IPv4 subnet: gateways are IPv4")
        if spec.gateway is not None:
            message = f"`{tenant}` has a compartment on the multitenant gateways already"
            yield Finding(Code.CONNECTION, (*path, "gateway"), message, "one way out: compartment, or VM")


def sites_apart(topology: Topology) -> Iterator[Finding]:
    """What is behind the gateway VM is nowhere in the VM network, nor behind another of its gateway VMs.

    Hosts have one route to a prefix.
    """
    behind: dict[str, list[tuple[str, str, IPv4Network]]] = {}
    for tenant, name, _, gateway in gateway_vms(topology):
        site = topology.sites.get(gateway.site)
        if site is None:
            continue
        lan, before = site.lan.prefix, behind.setdefault(tenant, [])
        taken = [
            *(
                (spec.prefix, f"subnet `{subnet}`")
                for subnet, spec in topology.tenants[tenant].subnets.items()
            ),
            # One site behind two gateway VMs is a finding of its own.
            *((prefix, f"`{other}`, behind `{vm}`") for other, vm, prefix in before if other != gateway.site),
        ]
        for prefix, what in taken:
            if lan.overlaps(prefix):
                yield Finding(
                    Code.LAN_OVERLAP,
                    ("sites", gateway.site, "lan", "prefix"),
                    f"{lan} of `{gateway.site}`, behind `{name}`, overlaps {prefix} of {what}",
                    "a tenant's subnets and the sites behind its gateway VMs do not overlap",
                )
        before.append((gateway.site, name, lan))


RULES = (own_subnet, sites_apart)

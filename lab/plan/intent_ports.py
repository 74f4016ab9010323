"""Network interfaces: the VMs' ports, and partners' appliances (MS-NCNBI section 3.1.5.13)."""

from __future__ import annotations

from typing import Any

from lab.model.tenants import Appliance, Tenant, Vm
from lab.model.types import IpAddress
from lab.plan.intent_traffic import list_path
from lab.plan.resources import body, ref


def vm_interface(tenant: Tenant, vm: Vm) -> dict[str, Any]:
    """A VM's adapter and the port that carries it."""
    return {
        **_adapter(tenant, vm.mac, vm.subnet, vm.address, vm.acl),
        "server": ref(f"/servers/{vm.host}"),
        "dnsSettings": {"dnsServers": [str(address) for address in vm.dns]},
        "portSettings": _port_settings(vm),
    }


def appliance_interface(tenant: Tenant, appliance: Appliance) -> dict[str, Any]:
    """An appliance's customer address: on no server, but at a provider address of its own."""
    return {
        **_adapter(tenant, appliance.mac, appliance.subnet, appliance.address, None),
        "partnerProviderAddress": str(appliance.provider_address),
        "portSettings": {"ipForwardingEnabled": appliance.forwarding},
    }


def _adapter(tenant: Tenant, mac: str, subnet: str, address: IpAddress, acl: str | None) -> dict[str, Any]:
    ip_configuration: dict[str, Any] = {
        "privateIPAddress": str(address),
        "privateIPAllocationMethod": "Static",
        "subnet": ref(f"/virtualNetworks/{tenant.name}/subnets/{subnet}"),
    }
    if acl is not None:
        ip_configuration["accessControlList"] = ref(list_path(tenant, acl))
    return {
        "privateMacAddress": mac.replace(":", "").upper(),
        "privateMacAllocationMethod": "Static",
        "isPrimary": True,
        "ipConfigurations": [body("ca", ip_configuration)],
    }


def _port_settings(vm: Vm) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "arpGuardEnabled": True,
        "dhcpGuardEnabled": vm.dhcp_guard,
        "routerGuardEnabled": vm.router_guard,
        "ipForwardingEnabled": vm.forwarding,
    }
    if vm.storm_limit_pps is not None:
        settings["stormLimit"] = vm.storm_limit_pps
    limits = {
        "outboundReservedValue": vm.qos.outbound_reserved_mbps,
        "outboundMaximumMbps": vm.qos.outbound_maximum_mbps,
        "inboundMaximumMbps": vm.qos.inbound_maximum_mbps,
    }
    if qos := {name: value for name, value in limits.items() if value is not None}:
        settings["qosSettings"] = qos
    return settings

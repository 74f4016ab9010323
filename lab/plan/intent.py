"""The tenants' intent as REST resources of the Network Controller: what `hnvlab up` PUTs, in this order.

Shapes: MS-NCNBI section 3.1.5 and the write shapes of SDN Express. Resource ids are the names of the topology
file; references are `{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}`. Children stand in their
parent's body, so that each PUT is whole and a second one changes nothing. Extensions to Microsoft's shape,
because a lab wants to choose what the product decides alone: `routingDomainId`, `virtualSubnetId`,
`dscpMode`, `useExternalRouter`, `uplinkCount`, `teamMode`, `uplinkMbps`,
`routerGuardEnabled`, `ipForwardingEnabled`, `partnerProviderAddress`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from lab.model.lab import Fabric, Host, Lab, Segment
from lab.model.tenants import Subnet, Tenant
from lab.model.wiring import UPLINKS
from lab.plan.certificates import Certificates, names_to_issue
from lab.plan.intent_gateways import CREDENTIAL, VIP, gateways, management, tenant_gateway
from lab.plan.intent_ports import appliance_interface, vm_interface
from lab.plan.intent_traffic import access_control_list, list_path, route_table, table_path
from lab.plan.resources import Resource, body, ref, resource

NO_CERTIFICATES: Certificates = MappingProxyType({})
MANAGEMENT, PROVIDER, FRONT_END = "management", "provider", "front-end"


def intent(lab: Lab, certificates: Certificates = NO_CERTIFICATES) -> list[Resource]:
    """Everything that the Network Controller must know of a lab; what is referred to comes first. Pure.

    Parameters:
        certificates: of tenants' own authorities, by tenant.

    Raises:
        KeyError: a tenant's gateway shows certificates, and there are none for it.
    """
    return [
        *_fabric(lab),
        *(item for tenant in lab.tenants for item in _tenant(tenant)),
        # Last: a gateway may be linked to any tenant's VM network.
        *(item for tenant in lab.tenants for item in _gateway(lab, tenant, certificates)),
    ]


def _fabric(lab: Lab) -> Iterator[Resource]:
    fabric = lab.fabric
    # What the controller proves itself with to the nodes: its certificate's common name is the node's name.
    credential = {"type": "X509CertificateSubjectName", "value": fabric.controller}
    yield resource(f"/credentials/{CREDENTIAL}", credential)
    yield _logical_network(MANAGEMENT, fabric.management)
    pool = {"startIpAddress": str(fabric.pool_first), "endIpAddress": str(fabric.pool_last)}
    yield _logical_network(PROVIDER, fabric.provider, pool=pool)
    yield _logical_network(FRONT_END, fabric.front_end)
    yield resource(
        f"/publicIPAddresses/{VIP}", {"ipAddress": str(fabric.vip), "publicIPAllocationMethod": "Static"}
    )
    yield resource("/virtualNetworkManager/configuration", _configuration(fabric))
    for host in lab.hosts:
        yield resource(f"/servers/{host.name}", _server(host))
    if lab.gateways:
        yield from gateways(lab)


def _configuration(fabric: Fabric) -> dict[str, Any]:
    return {
        "networkVirtualizationProtocol": fabric.encapsulation.upper(),
        "dscpMode": fabric.dscp,
        "useExternalRouter": fabric.external_router,
    }


def _server(host: Host) -> dict[str, Any]:
    interface = {"logicalSubnets": [ref(_logical_subnet(PROVIDER))]}
    properties = {
        "connections": [management(host.management)],
        "networkInterfaces": [body(name, interface) for name in UPLINKS[: host.uplinks]],
        "uplinkCount": host.uplinks,
        "teamMode": host.team,
    }
    return properties | ({"uplinkMbps": host.uplink_mbps} if host.uplink_mbps is not None else {})


def _logical_subnet(network: str) -> str:
    return f"/logicalNetworks/{network}/subnets/{network}"


def _logical_network(name: str, segment: Segment, pool: dict[str, str] | None = None) -> Resource:
    subnet = {
        "addressPrefix": str(segment.prefix),
        "vlanID": 0,
        "defaultGateways": [str(segment.router)],
        "isPublic": name == FRONT_END,
        "ipPools": [body(name, pool)] if pool else [],
    }
    properties = {"networkVirtualizationEnabled": name == PROVIDER, "subnets": [body(name, subnet)]}
    return resource(f"/logicalNetworks/{name}", properties)


def _tenant(tenant: Tenant) -> Iterator[Resource]:
    for acl in tenant.acls:
        yield resource(list_path(tenant, acl.name), access_control_list(acl))
    for subnet in tenant.subnets:
        if subnet.routes:
            yield resource(table_path(tenant, subnet), route_table(subnet))
    yield resource(
        f"/virtualNetworks/{tenant.name}",
        {
            "addressSpace": {"addressPrefixes": [str(subnet.prefix) for subnet in tenant.subnets]},
            "logicalNetwork": ref(f"/logicalNetworks/{PROVIDER}"),
            "routingDomainId": tenant.routing_domain,
            "subnets": [body(subnet.name, _subnet(tenant, subnet)) for subnet in tenant.subnets],
        },
    )
    for vm in tenant.vms:
        yield resource(f"/networkInterfaces/{vm.name}", vm_interface(tenant, vm))
    for appliance in tenant.appliances:
        yield resource(f"/networkInterfaces/{appliance.name}", appliance_interface(tenant, appliance))


def _gateway(lab: Lab, tenant: Tenant, certificates: Certificates) -> Iterator[Resource]:
    if tenant.gateway is not None:
        own = certificates[tenant.name] if names_to_issue(lab, tenant) else None
        yield from tenant_gateway(tenant, tenant.gateway, own)


def _subnet(tenant: Tenant, subnet: Subnet) -> dict[str, Any]:
    found: dict[str, Any] = {"addressPrefix": str(subnet.prefix), "virtualSubnetId": subnet.vsid}
    if subnet.acl is not None:
        found["accessControlList"] = ref(list_path(tenant, subnet.acl))
    if subnet.routes:
        found["routeTable"] = ref(table_path(tenant, subnet))
    return found

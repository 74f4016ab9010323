"""The tenants' intent as REST resources of the Network Controller: what `hnvlab up` PUTs, in this order.

Shapes: MS-NCNBI section 3.1.5 and the write shapes of SDN Express. Resource ids are the names of the topology
file; references are `{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}`. Children stand in their
parent's body, so that each PUT is whole and a second one changes nothing. Extensions to Microsoft's shape,
because a lab wants to choose what the product decides alone: `routingDomainId`, `virtualSubnetId`,
`holdTimeSeconds`, `dscpMode`, `useExternalRouter`, `uplinkCount`, `teamMode`, `uplinkMbps`,
`routerGuardEnabled`, `ipForwardingEnabled`, `partnerProviderAddress`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from lab.model.lab import Fabric, Host, Lab, Segment
from lab.model.tenants import Connection, Subnet, Tenant, TenantGateway
from lab.model.wiring import UPLINKS
from lab.plan.intent_ports import appliance_interface, vm_interface
from lab.plan.intent_traffic import access_control_list, list_path, route_table, table_path
from lab.plan.resources import Resource, body, ref, resource

MANAGEMENT, PROVIDER, FRONT_END = "management", "provider", "front-end"
CREDENTIAL, POOL, VIP, BGP_ROUTER = "controller", "gateways", "vip", "bgp"
ROUTE_METRIC = 10
QUICK_MODE = {
    "perfectForwardSecrecy": "ECP256",
    "cipherTransformationConstant": "GCMAES128",
    "authenticationTransformationConstant": "GCMAES128",
    "saLifeTimeSeconds": 3600,
    "saLifeTimeKiloBytes": 33_553_408,
    "idleDisconnectSeconds": 0,
}
"""Lifetimes are the product's; a lab's tunnels stay up when nobody talks."""
MAIN_MODE = {
    "diffieHellmanGroup": "ECP256",
    "encryptionAlgorithm": "AES256",
    "integrityAlgorithm": "SHA256",
    "saLifeTimeSeconds": 28_800,
}


def intent(lab: Lab) -> list[Resource]:
    """Everything that the Network Controller must know of a lab; what is referred to comes first. Pure."""
    return [*_fabric(lab), *(resource for tenant in lab.tenants for resource in _tenant(tenant))]


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
        yield from _gateways(lab)


def _configuration(fabric: Fabric) -> dict[str, Any]:
    return {
        "networkVirtualizationProtocol": fabric.encapsulation.upper(),
        "dscpMode": fabric.dscp,
        "useExternalRouter": fabric.external_router,
    }


def _server(host: Host) -> dict[str, Any]:
    interface = {"logicalSubnets": [ref(_logical_subnet(PROVIDER))]}
    properties = {
        "connections": [_connection(host.management)],
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


def _connection(address: IPv4Address) -> dict[str, Any]:
    return {
        "managementAddresses": [str(address)],
        "credential": ref(f"/credentials/{CREDENTIAL}"),
        "credentialType": "X509CertificateSubjectName",
    }


def _gateways(lab: Lab) -> Iterator[Resource]:
    yield resource(
        f"/gatewayPools/{POOL}",
        {
            "type": "S2sIpSec",
            "redundantGatewayCount": 0,
            "gatewayCapacityKiloBitsPerSecond": min(gateway.capacity_kbps for gateway in lab.gateways),
            "ipConfiguration": {"publicIPAddresses": [ref(f"/publicIPAddresses/{VIP}")]},
        },
    )
    for gateway in lab.gateways:
        yield resource(f"/virtualServers/{gateway.name}", {"connections": [_connection(gateway.management)]})
        yield resource(
            f"/gateways/{gateway.name}",
            {
                "pool": ref(f"/gatewayPools/{POOL}"),
                "type": "S2sIpSec",
                "virtualServer": ref(f"/virtualServers/{gateway.name}"),
            },
        )


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
    if tenant.gateway is not None:
        yield _virtual_gateway(tenant, tenant.gateway)


def _subnet(tenant: Tenant, subnet: Subnet) -> dict[str, Any]:
    found: dict[str, Any] = {"addressPrefix": str(subnet.prefix), "virtualSubnetId": subnet.vsid}
    if subnet.acl is not None:
        found["accessControlList"] = ref(list_path(tenant, subnet.acl))
    if subnet.routes:
        found["routeTable"] = ref(table_path(tenant, subnet))
    return found


def _virtual_gateway(tenant: Tenant, gateway: TenantGateway) -> Resource:
    connections = gateway.connections
    return resource(
        f"/virtualGateways/{tenant.name}",
        {
            "gatewayPools": [ref(f"/gatewayPools/{POOL}")],
            "gatewaySubnets": [ref(f"/virtualNetworks/{tenant.name}/subnets/{gateway.subnet}")],
            "routingType": "Dynamic",
            "networkConnections": [body(item.name, _network_connection(item)) for item in connections],
            "bgpRouters": [body(BGP_ROUTER, _bgp_router(gateway))],
        },
    )


def _bgp_router(gateway: TenantGateway) -> dict[str, Any]:
    return {
        "extAsNumber": _asn(gateway.asn),
        "routerId": str(gateway.address),
        "routerIP": [str(gateway.address)],
        "isEnabled": True,
        "bgpPeers": [
            body(
                connection.name,
                {
                    "peerIPAddress": str(connection.bgp_peer),
                    "extAsNumber": _asn(connection.bgp_peer_asn),
                    "holdTimeSeconds": gateway.hold_time_s,
                },
            )
            for connection in gateway.connections
        ],
    }


def _network_connection(connection: Connection) -> dict[str, Any]:
    """Without its static route to the BGP peer, the product reports PolicyConfigurationFailure."""
    return {
        "connectionType": "IPSec",
        "outboundKiloBitsPerSecond": connection.outbound_kbps,
        "inboundKiloBitsPerSecond": connection.inbound_kbps,
        "destinationIPAddress": str(connection.peer),
        "routes": [{"destinationPrefix": f"{connection.bgp_peer}/32", "metric": ROUTE_METRIC}],
        "ipSecConfiguration": {
            "authenticationMethod": "PSK",
            "sharedSecret": connection.shared_secret,
            "quickMode": dict(QUICK_MODE),
            "mainMode": dict(MAIN_MODE),
        },
    }


def _asn(number: int) -> str:
    """Microsoft's extAsNumber: the high and the low 16 bits."""
    return f"{number >> 16}.{number & 0xFFFF}"

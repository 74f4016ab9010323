"""The tenants' intent as REST resources of the Network Controller: what `hnvlab up` PUTs, in this order.

Shapes: MS-NCNBI section 3.1.5 and the write shapes of SDN Express. Resource ids are the names of the topology
file; references are `{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}`. Children stand in their
parent's body, so that each PUT is whole and a second one changes nothing. Extensions to Microsoft's shape,
because a lab wants to choose what the product decides alone: `routingDomainId`, `virtualSubnetId`,
`holdTimeSeconds`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from lab.model.lab import Connection, Lab, Segment, Subnet, Tenant, TenantGateway, Vm

Resource = tuple[str, dict[str, Any]]
"""Path below /networking/v1, and body."""

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


def _ref(path: str) -> dict[str, str]:
    return {"resourceRef": path}


def _resource(path: str, properties: dict[str, Any]) -> Resource:
    return path, _body(path.rsplit("/", 1)[1], properties)


def _body(resource_id: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"resourceId": resource_id, "properties": properties}


def _fabric(lab: Lab) -> Iterator[Resource]:
    fabric = lab.fabric
    # What the controller proves itself with to the nodes: its certificate's common name is the node's name.
    credential = {"type": "X509CertificateSubjectName", "value": fabric.controller}
    yield _resource(f"/credentials/{CREDENTIAL}", credential)
    yield _logical_network(MANAGEMENT, fabric.management)
    pool = {"startIpAddress": str(fabric.pool_first), "endIpAddress": str(fabric.pool_last)}
    yield _logical_network(PROVIDER, fabric.provider, pool=pool)
    yield _logical_network(FRONT_END, fabric.front_end)
    yield _resource(
        f"/publicIPAddresses/{VIP}", {"ipAddress": str(fabric.vip), "publicIPAllocationMethod": "Static"}
    )
    for host in lab.hosts:
        interface = {"logicalSubnets": [_ref(_logical_subnet(PROVIDER))]}
        properties = {
            "connections": [_connection(host.management)],
            "networkInterfaces": [_body("pa0", interface)],
        }
        yield _resource(f"/servers/{host.name}", properties)
    if lab.gateways:
        yield from _gateways(lab)


def _logical_subnet(network: str) -> str:
    return f"/logicalNetworks/{network}/subnets/{network}"


def _logical_network(name: str, segment: Segment, pool: dict[str, str] | None = None) -> Resource:
    subnet = {
        "addressPrefix": str(segment.prefix),
        "vlanID": 0,
        "defaultGateways": [str(segment.router)],
        "isPublic": name == FRONT_END,
        "ipPools": [_body(name, pool)] if pool else [],
    }
    properties = {"networkVirtualizationEnabled": name == PROVIDER, "subnets": [_body(name, subnet)]}
    return _resource(f"/logicalNetworks/{name}", properties)


def _connection(address: IPv4Address) -> dict[str, Any]:
    return {
        "managementAddresses": [str(address)],
        "credential": _ref(f"/credentials/{CREDENTIAL}"),
        "credentialType": "X509CertificateSubjectName",
    }


def _gateways(lab: Lab) -> Iterator[Resource]:
    yield _resource(
        f"/gatewayPools/{POOL}",
        {
            "type": "S2sIpSec",
            "redundantGatewayCount": 0,
            "gatewayCapacityKiloBitsPerSecond": min(gateway.capacity_kbps for gateway in lab.gateways),
            "ipConfiguration": {"publicIPAddresses": [_ref(f"/publicIPAddresses/{VIP}")]},
        },
    )
    for gateway in lab.gateways:
        yield _resource(f"/virtualServers/{gateway.name}", {"connections": [_connection(gateway.management)]})
        yield _resource(
            f"/gateways/{gateway.name}",
            {
                "pool": _ref(f"/gatewayPools/{POOL}"),
                "type": "S2sIpSec",
                "virtualServer": _ref(f"/virtualServers/{gateway.name}"),
            },
        )


def _tenant(tenant: Tenant) -> Iterator[Resource]:
    yield _resource(
        f"/virtualNetworks/{tenant.name}",
        {
            "addressSpace": {"addressPrefixes": [str(subnet.prefix) for subnet in tenant.subnets]},
            "logicalNetwork": _ref(f"/logicalNetworks/{PROVIDER}"),
            "routingDomainId": tenant.routing_domain,
            "subnets": [_body(subnet.name, _subnet(subnet)) for subnet in tenant.subnets],
        },
    )
    for vm in tenant.vms:
        yield _resource(f"/networkInterfaces/{vm.name}", _interface(tenant, vm))
    if tenant.gateway is not None:
        yield _virtual_gateway(tenant, tenant.gateway)


def _subnet(subnet: Subnet) -> dict[str, Any]:
    return {"addressPrefix": str(subnet.prefix), "virtualSubnetId": subnet.vsid}


def _interface(tenant: Tenant, vm: Vm) -> dict[str, Any]:
    ip_configuration = {
        "privateIPAddress": str(vm.address),
        "privateIPAllocationMethod": "Static",
        "subnet": _ref(f"/virtualNetworks/{tenant.name}/subnets/{vm.subnet}"),
    }
    return {
        "privateMacAddress": vm.mac.replace(":", "").upper(),
        "privateMacAllocationMethod": "Static",
        "isPrimary": True,
        "server": _ref(f"/servers/{vm.host}"),
        "dnsSettings": {"dnsServers": [str(address) for address in vm.dns]},
        "ipConfigurations": [_body("ca", ip_configuration)],
    }


def _virtual_gateway(tenant: Tenant, gateway: TenantGateway) -> Resource:
    connections = gateway.connections
    return _resource(
        f"/virtualGateways/{tenant.name}",
        {
            "gatewayPools": [_ref(f"/gatewayPools/{POOL}")],
            "gatewaySubnets": [_ref(f"/virtualNetworks/{tenant.name}/subnets/{gateway.subnet}")],
            "routingType": "Dynamic",
            "networkConnections": [_body(item.name, _network_connection(item)) for item in connections],
            "bgpRouters": [_body(BGP_ROUTER, _bgp_router(gateway))],
        },
    )


def _bgp_router(gateway: TenantGateway) -> dict[str, Any]:
    return {
        "extAsNumber": _asn(gateway.asn),
        "routerId": str(gateway.address),
        "routerIP": [str(gateway.address)],
        "isEnabled": True,
        "bgpPeers": [
            _body(
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

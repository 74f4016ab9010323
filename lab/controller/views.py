"""What the API answers: the stored resource, and what only the controller knows of it (read-only fields).

Read-only fields beyond Microsoft's: `providerAddress` and `providerAddresses` (by team member) of servers and
gateways, `learnedRoutes` of bgpRouters, `statistics` of networkInterfaces, `vpnClients` of vpnConfiguration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from google.protobuf.json_format import MessageToDict

from lab.controller.allocation import active_gateways, demand_kbps, provider_addresses
from lab.controller.catalog import (
    GATEWAYS,
    NETWORK_INTERFACES,
    VIRTUAL_GATEWAYS,
    VIRTUAL_NETWORKS,
    Path,
    children,
)
from lab.controller.controller import Controller
from lab.controller.fleet import POLICY_FAILURE, ConfigurationState, Node
from lab.controller.gateways import network_of_gateway, unreachable_peers, vip_of
from lab.controller.inventory import PLACEMENT, PROVIDER_ADDRESS
from lab.controller.models_bgp import BgpPeer, BgpRouter
from lab.controller.models_connection import NetworkConnection
from lab.controller.models_fabric import Gateway, GatewayPool, IpPool, Server
from lab.controller.models_policy import AccessControlList, RouteTable
from lab.controller.models_tenant import (
    NetworkInterface,
    VirtualGateway,
    VirtualSubnet,
)
from lab.controller.observations import Observation
from lab.controller.shapes import Resource
from lab.controller.views_vpn import vpn_json

Json = dict[str, Any]


def render(path: Path, resource: Resource[Any], controller: Controller) -> Json:
    """A resource with everything below it, as a GET answers it."""
    body: Json = resource.model_dump(mode="json", by_alias=True, exclude_none=True)
    state, reason = controller.fleet.provisioning(path.root.key)
    _complete(body, path, resource, controller, (controller.etag(path), state, reason))
    return body


def _complete(
    body: Json, path: Path, resource: Resource[Any], controller: Controller, common: tuple[str, str, str]
) -> None:
    etag, state, reason = common
    body |= {"resourceRef": path.ref, "etag": etag}
    properties = body["properties"]
    for collection in path.collection.children:
        inside = [(p, child) for p, child in children(path, resource) if p.collection is collection]
        for item, (below, child) in zip(properties[collection.segment], inside, strict=True):
            _complete(item, below, child, controller, common)
    properties["provisioningState"] = state
    if reason:
        properties["configurationState"] = _single("Failure", POLICY_FAILURE, reason)
    rule = _READ_ONLY.get(path.kind)
    if rule is not None:
        properties |= rule(path, resource, controller)


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()


def _state_json(state: ConfigurationState) -> Json:
    details = [{"source": d.source, "code": d.code, "message": d.message} for d in state.details]
    return {
        "status": state.status,
        "lastUpdatedTime": _moment(state.updated_unix_s),
        "detailedInfo": details,
    }


def _reference(ref: str) -> Json:
    return {"resourceRef": ref}


def _single(status: str, code: str, message: str, node: Node | None = None) -> Json:
    """A state of one detail, which a node speaks for; None: the controller alone does, at any time."""
    detail = {"source": node.name if node else "NetworkController", "code": code, "message": message}
    moment = {"lastUpdatedTime": _moment(node.updated_unix_s)} if node else {}
    return {"status": status, **moment, "detailedInfo": [detail]}


def _node_state(name: str, controller: Controller) -> Json:
    node = controller.fleet.node(name)
    if node is None:
        return {}
    addresses = provider_addresses(name, controller.inventory)
    if not addresses:
        message = "No provider address is free: there is no pool in a provider network, or it is too small."
        return {"configurationState": _single("Failure", "PAIpAddressExhausted", message)}
    return {
        "configurationState": _state_json(node.state),
        "providerAddress": addresses[0],
        "providerAddresses": list(addresses),
    }


def _server(_path: Path, resource: Resource[Server], controller: Controller) -> Json:
    result = _node_state(resource.resource_id, controller)
    missing = resource.properties.uplink_count - len(result.get("providerAddresses", ()))
    if result.get("providerAddresses") and missing:
        message = "The pools of the provider network have no address for each of its uplinks."
        result["configurationState"] = _single("Failure", "PAIpAddressExhausted", message)
    return result


def _gateway(_path: Path, resource: Resource[Gateway], controller: Controller) -> Json:
    name, inventory = resource.resource_id, controller.inventory
    result = _node_state(name, controller)
    pool_ref = resource.properties.pool.resource_ref
    pool = inventory.at(pool_ref)
    active = name in active_gateways(inventory, pool_ref)
    node = controller.fleet.node(name)
    tenants = [
        (path, tenant)
        for path, tenant in inventory.all(VIRTUAL_GATEWAYS)
        if inventory.allocations.get((PLACEMENT, path.key)) == name
    ]
    total = pool[1].properties.gateway_capacity_kilo_bits_per_second if pool else 0
    used = sum(demand_kbps(tenant.properties) for _, tenant in tenants)
    vip = vip_of(name, inventory)
    if not active and node is not None and node.connected:
        message = "The gateway stands by."
        result["configurationState"] = _single("Uninitialized", "Uninitialized", message, node)
    return result | {
        "state": "Active" if active else "Redundant",
        "healthState": "Healthy" if node is not None and node.connected else "Unhealthy",
        "totalCapacity": total,
        "availableCapacity": max(total - used, 0),
        "externalIPAddress": [{"ipAddress": vip}] if vip else [],
        "virtualGateways": [_reference(path.ref) for path, _ in tenants],
        "connections": [
            _reference(below.ref)
            for path, tenant in tenants
            for below, child in children(path, tenant)
            if isinstance(child.properties, NetworkConnection)
        ],
    }


def _gateway_pool(path: Path, _resource: Resource[GatewayPool], controller: Controller) -> Json:
    referrers = controller.inventory.referrers(path)
    return {
        "gateways": [_reference(p.ref) for p in referrers if p.collection is GATEWAYS],
        "virtualGateways": [_reference(p.ref) for p in referrers if p.collection is VIRTUAL_GATEWAYS],
    }


def _ip_pool(_path: Path, resource: Resource[IpPool], controller: Controller) -> Json:
    first = IPv4Address(resource.properties.start_ip_address)
    last = IPv4Address(resource.properties.end_ip_address)
    given = (v for (kind, _), v in controller.inventory.allocations.items() if kind == PROVIDER_ADDRESS)
    used = sum(first <= IPv4Address(address) <= last for address in given)
    return {"usage": {"totalIPCount": int(last) - int(first) + 1, "currentIPCount": used}}


def _virtual_subnet(path: Path, _resource: Resource[VirtualSubnet], controller: Controller) -> Json:
    referrers = controller.inventory.referrers(path)
    inside = [p.ref for p in referrers if p.root.collection is NETWORK_INTERFACES]
    return {"ipConfigurations": list(map(_reference, inside))}


def _access_control_list(path: Path, _resource: Resource[AccessControlList], controller: Controller) -> Json:
    referrers = controller.inventory.referrers(path)
    return {
        "ipConfigurations": [_reference(p.ref) for p in referrers if p.root.collection is NETWORK_INTERFACES],
        "subnets": [_reference(p.ref) for p in referrers if p.root.collection is VIRTUAL_NETWORKS],
    }


def _route_table(path: Path, _resource: Resource[RouteTable], controller: Controller) -> Json:
    return {"subnets": [_reference(p.ref) for p in controller.inventory.referrers(path)]}


def _network_interface(path: Path, resource: Resource[NetworkInterface], controller: Controller) -> Json:
    server = resource.properties.server
    found = controller.inventory.at(server.resource_ref) if server else None
    node = controller.fleet.node(found[1].resource_id) if found else None
    statistics = _statistics(resource.resource_id, controller)
    if node is None:
        message = "It is on no server."
        return statistics | {"configurationState": _single("Uninitialized", "Uninitialized", message)}
    state = _record_state(node, f"port/{resource.resource_id}", path, controller)
    return statistics | {"configurationState": state}


def _statistics(interface_id: str, controller: Controller) -> Json:
    """In the words of a connection's: octets and packets by direction, inside of the routing domain and
    across its gateway.
    """
    counts = controller.meters.of(interface_id)
    result: Json = {}
    for (kind, direction), count in sorted(counts.items()):
        result.setdefault(kind, {}).update(
            {f"{direction}Bytes": count.bytes, f"{direction}Packets": count.packets}
        )
    return {"statistics": result} if result else {}


def _record_state(node: Node, key: str, path: Path, controller: Controller) -> Json:
    """State of a resource that becomes one record on one node."""
    if not node.connected:
        return _state_json(node.state)
    fault = node.refused.get(key) or next(iter(node.rejection), None)
    if fault is not None:
        return _single("Failure", fault.code or POLICY_FAILURE, fault.message, node)
    if controller.fleet.provisioning(path.root.key)[0] == "Updating":
        return _single("InProgress", "InProgress", f"Its policy is on the way to {node.name}.", node)
    return _single("Success", "Success", f"{node.name} has its policy.", node)


def _observed(path: Path, controller: Controller) -> Observation | None:
    gateway = controller.inventory.find(path.root)
    network = network_of_gateway(gateway[1]) if gateway else None
    found = controller.inventory.find(network) if network else None
    return controller.observations.get(found[1].properties.routing_domain_id) if found else None


def _virtual_gateway(path: Path, resource: Resource[VirtualGateway], controller: Controller) -> Json:
    wanted = resource.properties.vpn_configuration
    vpn = {"vpnConfiguration": vpn_json(wanted, _observed(path, controller))} if wanted else {}
    return {**vpn, **_gateway_state(path, resource, controller)}


def _gateway_state(path: Path, resource: Resource[VirtualGateway], controller: Controller) -> Json:
    name = controller.inventory.allocations.get((PLACEMENT, path.key))
    node = controller.fleet.node(name) if name else None
    if node is None:
        message = "No active gateway of its pools has room for its connections."
        return {"configurationState": _single("Failure", "Overloaded", message)}
    peers = unreachable_peers(resource.properties)
    if peers:
        message = f"Peers {', '.join(peers)} do not have connectivity through any networkconnection"
        return {"configurationState": _single("Failure", POLICY_FAILURE, message)}
    network = network_of_gateway(resource)
    found = controller.inventory.find(network) if network else None
    rdid = found[1].properties.routing_domain_id if found else ""
    return {"configurationState": _record_state(node, f"compartment/{rdid}", path, controller)}


def _network_connection(path: Path, resource: Resource[NetworkConnection], controller: Controller) -> Json:
    name = controller.inventory.allocations.get((PLACEMENT, path.root.key))
    place = (
        {"gateway": _reference(f"/gateways/{name}"), "sourceIPAddress": vip_of(name, controller.inventory)}
        if name
        else {}
    )
    seen = _observed(path, controller)
    connection = seen.connections.get(resource.resource_id.lower()) if seen else None
    if connection is None:
        return place | {"connectionState": "Disconnected", "connectionErrorReason": ""}
    up_s = max(int(time.time()) - connection.since_unix_s, 0) if connection.state == "Connected" else 0
    return place | {
        "connectionState": connection.state,
        "connectionErrorReason": connection.last_error,
        "connectionUpTime": str(timedelta(seconds=up_s)),
        "statistics": {"outboundBytes": connection.bytes_out, "inboundBytes": connection.bytes_in},
    }


def _bgp_router(path: Path, _resource: Resource[BgpRouter], controller: Controller) -> Json:
    seen = _observed(path, controller)
    routes = seen.routes if seen else ()
    return {"learnedRoutes": [{"destinationPrefix": r.prefix, "metric": r.metric} for r in routes]}


def _bgp_peer(path: Path, resource: Resource[BgpPeer], controller: Controller) -> Json:
    seen = _observed(path, controller)
    peer = seen.peers.get(resource.resource_id.lower()) if seen else None
    if peer is None:
        return {"connectionState": "Connecting", "connectionErrorReason": ""}
    return {
        "connectionState": peer.state,
        "connectionErrorReason": peer.last_error,
        "statistics": {"receivedPrefixes": peer.prefixes},
    }


def render_goal_state(node: Node, controller: Controller) -> Json:
    """What a node is to know, record by record, without the secrets. A diagnostic of this controller."""
    records = []
    for _, item in sorted(controller.policy.goal_state(node.name).items()):
        record = MessageToDict(item, preserving_proto_field_name=True)
        for connection in record.get("compartment", {}).get("connections", ()):
            ipsec = connection.get("ipsec", {})
            ipsec.pop("shared_secret", None)
            ipsec.get("machine_certificate", {}).pop("private_key", None)
            dial_in = connection.get("dial_in", {})
            dial_in.pop("private_key", None)
            for user in dial_in.get("users", ()):
                user.pop("password", None)
        records.append(record)
    return {
        "node": node.name,
        "kind": node.kind,
        "version": node.version,
        "acknowledged": node.acknowledged,
        "connected": node.connected,
        "records": records,
    }


_READ_ONLY: Mapping[str, Callable[[Path, Resource[Any], Controller], Json]] = {
    "servers": _server,
    "gateways": _gateway,
    "gatewaypools": _gateway_pool,
    "logicalnetworks/subnets/ippools": _ip_pool,
    "accesscontrollists": _access_control_list,
    "routetables": _route_table,
    "virtualnetworks/subnets": _virtual_subnet,
    "networkinterfaces": _network_interface,
    "virtualgateways": _virtual_gateway,
    "virtualgateways/networkconnections": _network_connection,
    "virtualgateways/bgprouters": _bgp_router,
    "virtualgateways/bgprouters/bgppeers": _bgp_peer,
}

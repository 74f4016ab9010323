"""Gateways and what tenants want of them: pools, virtual gateways, connections of every kind, BGP.

Shapes: MS-NCNBI section 3.1.5.17.4 and Microsoft's "Add a virtual gateway to a tenant virtual network".
Extensions, where the product's gateway is told by cmdlets what its API does not carry: `holdTimeSeconds` of
BGP peers; of ipSecConfiguration `persistent`, `networkOutageSeconds`, `numberOfTries`, `retryIntervalSeconds`
and machine certificates; all of NAT, `natConfiguration`, after New-NetNat and Add-NetNatStaticMapping; of
links, `linkConfiguration`; and what `vpnConfiguration` says beside the pool, after
Set-RemoteAccessRoutingDomain.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from lab.model.connections import (
    DIAL_IN,
    Connection,
    DialIn,
    Forwarding,
    Gre,
    Ipsec,
    Link,
    Nat,
    NatMapping,
    SiteEnd,
)
from lab.model.lab import Lab
from lab.model.tenants import Tenant, TenantGateway
from lab.plan.certificates import TenantCertificates
from lab.plan.resources import Resource, body, ref, resource

POOL, VIP, GRE_VIP, BGP_ROUTER = "gateways", "vip", "gre-vip", "bgp"
CREDENTIAL = "controller"


def management(address: IPv4Address) -> dict[str, Any]:
    """How the Network Controller reaches a node."""
    return {
        "managementAddresses": [str(address)],
        "credential": ref(f"/credentials/{CREDENTIAL}"),
        "credentialType": "X509CertificateSubjectName",
    }


def gateways(lab: Lab) -> Iterator[Resource]:
    """The gateways and their pool; of type All where a tenant wants more than IPsec."""
    fabric = lab.fabric
    kind = "All" if fabric.announced else "S2sIpSec"
    addresses: dict[str, Any] = {"publicIPAddresses": [ref(f"/publicIPAddresses/{VIP}")]}
    if fabric.announced and fabric.gre_vips is not None:
        subnet = {"addressPrefix": str(fabric.gre_vips), "vlanID": 0, "isPublic": True}
        yield resource(
            f"/logicalNetworks/{GRE_VIP}",
            {"networkVirtualizationEnabled": False, "subnets": [body(GRE_VIP, subnet)]},
        )
        addresses["greVipSubnets"] = [ref(f"/logicalNetworks/{GRE_VIP}/subnets/{GRE_VIP}")]
    yield resource(
        f"/gatewayPools/{POOL}",
        {
            "type": kind,
            "redundantGatewayCount": fabric.redundant_gateways,
            "gatewayCapacityKiloBitsPerSecond": min(gateway.capacity_kbps for gateway in lab.gateways),
            "ipConfiguration": addresses,
        },
    )
    for gateway in lab.gateways:
        yield resource(f"/virtualServers/{gateway.name}", {"connections": [management(gateway.management)]})
        properties = {
            "pool": ref(f"/gatewayPools/{POOL}"),
            "type": kind,
            "virtualServer": ref(f"/virtualServers/{gateway.name}"),
        }
        if fabric.announced:
            properties["bgpConfig"] = {
                "extASNumber": as_number(fabric.gateway_asn),
                "bgpPeer": [
                    {
                        "peerIP": str(fabric.front_end.router),
                        "peerExtAsNumber": as_number(fabric.asn),
                    }
                ],
            }
        yield resource(f"/gateways/{gateway.name}", properties)


def tenant_gateway(
    tenant: Tenant, gateway: TenantGateway, certificates: TenantCertificates | None = None
) -> Iterator[Resource]:
    """A tenant's virtual gateway, and before it what its connections refer to.

    Parameters:
        certificates: of the tenant's own authority; None: the gateway shows none.
    """
    for connection in gateway.connections:
        match connection.kind:
            case Forwarding() as leg:
                name = own(tenant, connection.name)
                subnet = {"addressPrefix": str(leg.address.network), "vlanID": leg.vlan, "isPublic": False}
                yield resource(
                    f"/logicalNetworks/{name}",
                    {"networkVirtualizationEnabled": False, "subnets": [body(name, subnet)]},
                )
            case Nat() as nat:
                yield _public_address(own(tenant, connection.name), nat.public_address)
    vpn = {}
    if gateway.dial_in is not None and certificates is not None:
        yield _public_address(own(tenant, DIAL_IN), gateway.dial_in.public_address)
        address = f"/publicIPAddresses/{own(tenant, DIAL_IN)}"
        vpn = {"vpnConfiguration": _vpn(gateway.dial_in, address, certificates)}
    connections = [body(item.name, _connection(tenant, item, certificates)) for item in gateway.connections]
    yield resource(
        f"/virtualGateways/{tenant.name}",
        {
            "gatewayPools": [ref(f"/gatewayPools/{POOL}")],
            "gatewaySubnets": [
                ref(f"/virtualNetworks/{tenant.name}/subnets/{subnet}") for subnet in gateway.subnets
            ],
            "routingType": "Dynamic",
            **vpn,
            "networkConnections": connections,
            "bgpRouters": [body(BGP_ROUTER, _bgp_router(gateway))],
        },
    )


def own(tenant: Tenant, connection: str) -> str:
    """The id of what belongs to one connection. A name holds no dot, so no two ids are the same."""
    return f"{tenant.name}.{connection}"


def _public_address(name: str, address: IPv4Address) -> Resource:
    properties = {"ipAddress": str(address), "publicIPAllocationMethod": "Static"}
    return resource(f"/publicIPAddresses/{name}", properties)


def _vpn(access: DialIn, address: str, certificates: TenantCertificates) -> dict[str, Any]:
    authority = {"caCertificate": certificates.authority} if access.certificates else {}
    own = certificates.issued[access.identity]
    return {
        "IPv4AddressPrefixes": [str(access.pool)],
        "dnsIPAddresses": [str(server) for server in access.dns],
        "maximumVpnConnections": access.maximum,
        "interimAccountingPeriodSec": access.interim_accounting_s,
        "publicIPAddress": ref(address),
        "identity": access.identity,
        "certificate": own.certificate,
        "privateKey": own.key,
        **authority,
        "users": [body(name, {"password": password}) for name, password in access.users.items()],
        "outboundKiloBitsPerSecond": access.outbound_kbps,
        "inboundKiloBitsPerSecond": access.inbound_kbps,
    }


def _bgp_router(gateway: TenantGateway) -> dict[str, Any]:
    return {
        "extAsNumber": as_number(gateway.asn),
        "routerId": str(gateway.address),
        "routerIP": [str(gateway.address)],
        "isEnabled": True,
        **_ipv6_routing(gateway),
        "bgpPeers": [body(name, _bgp_peer(site, gateway)) for name, site in _bgp_peers(gateway)],
    }


def _ipv6_routing(gateway: TenantGateway) -> dict[str, Any]:
    if gateway.ipv6 is None:
        return {}
    return {"IPv6Routing": "Enabled", "localIPv6Address": str(gateway.ipv6.address)}


def _bgp_peers(gateway: TenantGateway) -> Iterator[tuple[str, SiteEnd]]:
    """Of two sites with one network, the routes' metric says which is spoken to: they are one peer."""
    seen: set[IPv4Address] = set()
    for connection in gateway.connections:
        if connection.site is None or connection.site.bgp_peer_asn is None:
            continue
        if connection.site.bgp_peer not in seen:
            seen.add(connection.site.bgp_peer)
            yield connection.name, connection.site


def _bgp_peer(site: SiteEnd, gateway: TenantGateway) -> dict[str, Any]:
    return {
        "peerIPAddress": str(site.bgp_peer),
        "extAsNumber": as_number(site.bgp_peer_asn or 0),
        "holdTimeSeconds": gateway.hold_time_s,
    }


def _connection(
    tenant: Tenant, connection: Connection, certificates: TenantCertificates | None
) -> dict[str, Any]:
    """Without its static route to the BGP peer, the product reports PolicyConfigurationFailure."""
    routes = [{"destinationPrefix": str(route.prefix), "metric": route.metric} for route in connection.routes]
    rates = {
        "outboundKiloBitsPerSecond": connection.outbound_kbps,
        "inboundKiloBitsPerSecond": connection.inbound_kbps,
    }
    destination = {"destinationIPAddress": str(connection.site.peer)} if connection.site else {}
    match connection.kind:
        case Ipsec() as ipsec:
            common = {"connectionType": "IPSec", **rates, **destination, "routes": routes}
            return {**common, "ipSecConfiguration": _ipsec(ipsec, certificates)}
        case Gre(key):
            common = {"connectionType": "GRE", **rates, **destination, "routes": routes}
            return {**common, "greConfiguration": {"greKey": key}}
        case Forwarding(_, address, ipv6_address):
            name = own(tenant, connection.name)
            legs = [leg for leg in (address, ipv6_address) if leg]
            site = connection.site
            peers = [peer for peer in (site.peer, site.ipv6_peer) if peer] if site else []
            return {
                "connectionType": "L3",
                **rates,
                "routes": routes,
                "l3Configuration": {"vlanSubnet": ref(f"/logicalNetworks/{name}/subnets/{name}")},
                "ipAddresses": [
                    {"ipAddress": str(leg.ip), "prefixLength": leg.network.prefixlen} for leg in legs
                ],
                "peerIPAddresses": [str(peer) for peer in peers],
            }
        case Nat() as nat:
            return {
                "connectionType": "NAT",
                **rates,
                "routes": routes,
                "natConfiguration": _nat(nat, f"/publicIPAddresses/{own(tenant, connection.name)}"),
            }
        case Link(other, offers):
            configuration = {
                "remoteVirtualNetwork": ref(f"/virtualNetworks/{other}"),
                "localPrefixes": [str(prefix) for prefix in offers],
            }
            return {"connectionType": "Link", **rates, "routes": routes, "linkConfiguration": configuration}


def _ipsec(ipsec: Ipsec, certificates: TenantCertificates | None) -> dict[str, Any]:
    main, quick = ipsec.main_mode, ipsec.quick_mode
    chosen = {
        "networkOutageSeconds": ipsec.network_outage_s,
        "numberOfTries": ipsec.retries,
        "retryIntervalSeconds": ipsec.retry_interval_s,
        "persistent": None if ipsec.persistent else False,
    }
    return {
        **_authentication(ipsec, certificates),
        "quickMode": {
            "perfectForwardSecrecy": quick.pfs,
            "cipherTransformationConstant": quick.cipher,
            "authenticationTransformationConstant": quick.authentication,
            "saLifeTimeSeconds": quick.lifetime_s,
            "saLifeTimeKiloBytes": quick.lifetime_kb,
            "idleDisconnectSeconds": ipsec.idle_disconnect_s,
        },
        "mainMode": {
            "diffieHellmanGroup": main.dh_group,
            "encryptionAlgorithm": main.encryption,
            "integrityAlgorithm": main.integrity,
            "saLifeTimeSeconds": main.lifetime_s,
        },
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _authentication(ipsec: Ipsec, certificates: TenantCertificates | None) -> dict[str, Any]:
    if ipsec.identities is None or certificates is None:
        return {"authenticationMethod": "PSK", "sharedSecret": ipsec.shared_secret}
    own = certificates.issued[ipsec.identities.gateway]
    return {
        "authenticationMethod": "MachineCertificates",
        "identity": ipsec.identities.gateway,
        "certificate": own.certificate,
        "privateKey": own.key,
        "caCertificate": certificates.authority,
        "remoteIdentity": ipsec.identities.site,
    }


def _nat(nat: Nat, address: str) -> dict[str, Any]:
    ports = {"startPort": nat.ports.first, "endPort": nat.ports.last} if nat.ports else {}
    rules = [body(mapping.name, _inbound_rule(mapping)) for mapping in nat.mappings]
    return {"publicIPAddress": ref(address), **ports, "inboundNatRules": rules}


def _inbound_rule(mapping: NatMapping) -> dict[str, Any]:
    rule = {
        "protocol": mapping.protocol.upper(),
        "frontendPort": mapping.port,
        "backendIPAddress": str(mapping.address),
        "backendPort": mapping.internal_port,
    }
    return rule if mapping.source is None else {**rule, "remoteAddressPrefix": str(mapping.source)}


def as_number(number: int) -> str:
    """Microsoft's extAsNumber: the high and the low 16 bits."""
    return f"{number >> 16}.{number & 0xFFFF}"

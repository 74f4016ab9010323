"""IPv6 routes in the Network Controller: what may be asked for, what gateways and hosts are told."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud, interface
from .test_controller_connections import every_kind, gre, ipsec, l3

BLUE, NETWORK = "/virtualGateways/blue", "/virtualNetworks/blue"
RDID = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
Json = dict[str, Any]


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Datacenter]:
    """The hybrid cloud, whose blue network has IPv6 subnets beside the others."""
    result = every_kind(tmp_path)
    network = deepcopy(dict(hybrid_cloud())[NETWORK])
    network["properties"]["addressSpace"]["addressPrefixes"].append("fd00::/16")
    network["properties"]["subnets"] += [
        {"resourceId": name, "properties": {"addressPrefix": prefix, "virtualSubnetID": vsid}}
        for name, prefix, vsid in (("web6", "fd00:1::/64", "7001"), ("gw6", "fd00:2::/64", "7003"))
    ]
    result.put(NETWORK, network)
    yield result
    result.store.close()


def gateway(
    *connections: Json,
    subnets: tuple[str, ...] = ("gw", "gw6"),
    maps: list[Json] | None = None,
    **router: Any,
) -> Json:
    """Blue's virtual gateway with these subnets, more connections and other properties of its router."""
    body = deepcopy(dict(hybrid_cloud())[BLUE])
    properties = body["properties"]
    first = properties["gatewaySubnets"][0]["resourceRef"]
    refs = [first if name == "gw" else f"{NETWORK}/subnets/{name}" for name in subnets]
    properties["gatewaySubnets"] = [{"resourceRef": ref} for ref in refs]
    properties["bgpRouters"][0]["properties"] |= {"IPv6Routing": "Enabled"} | router
    properties["networkConnections"] += [
        {"resourceId": f"c{n}", "properties": item} for n, item in enumerate(connections)
    ]
    properties["policyMaps"] = maps or []
    return body


def compartment(center: Datacenter) -> pb.Compartment:
    found = [c for n in ("gw01", "gw02") for c in center.records(n, "compartment") if c.tenant == "blue"]
    assert len(found) == 1
    record = found[0]
    assert isinstance(record, pb.Compartment)
    return record


def test_a_compartment_gets_an_address_in_its_ipv6_subnet(center: Datacenter) -> None:
    center.put(BLUE, gateway())
    told = compartment(center)
    assert told.ipv6 == pb.CompartmentIpv6(
        customer_address="fd00:2::2",
        prefix_length=64,
        mac=told.ipv6.mac,
        router_address="fd00:2::1",
        vm_prefixes=["fd00:1::/64"],
    )
    assert told.ipv6.mac != told.mac
    assert told.bgp.local_ipv6_address == "fd00:2::2"
    assert "fd00:1::/64" in told.bgp.networks
    assert not [prefix for prefix in told.vm_prefixes if ":" in prefix]
    places = {(r.vsid, r.customer_address, r.mac) for r in center.records("hv01", "lookup_record")}
    assert (7003, "fd00:2::2", told.ipv6.mac) in places
    node = next(n for n in ("gw01", "gw02") if center.records(n, "compartment"))
    ports = {p.interface_id: (p.vsid, p.customer_address) for p in center.records(node, "port")}
    assert ports[f"compartment/{RDID}/ipv6"] == (7003, "fd00:2::2")
    # Gone again with the subnet.
    center.put(BLUE, gateway(subnets=("gw",), IPv6Routing="Disabled"))
    assert not compartment(center).HasField("ipv6")
    assert f"compartment/{RDID}/ipv6" not in {p.interface_id for p in center.records(node, "port")}


def test_disabled_is_the_default_and_offers_nothing(center: Datacenter) -> None:
    center.put(BLUE, gateway(IPv6Routing=None))
    router = center.get(f"{BLUE}/bgpRouters/{gateway()['properties']['bgpRouters'][0]['resourceId']}")
    assert router["properties"]["IPv6Routing"] == "Disabled"
    told = compartment(center)
    assert told.HasField("ipv6"), "the subnet is there, and static routes may use it"
    assert told.bgp.local_ipv6_address == ""
    assert not [prefix for prefix in told.bgp.networks if ":" in prefix]


def test_learned_ipv6_routes_reach_the_hosts_by_the_ipv6_address(center: Datacenter) -> None:
    center.put(BLUE, gateway(gre() | {"routes": [{"destinationPrefix": "fd60::/64"}]}))
    node = next(n for n in ("gw01", "gw02") if center.records(n, "compartment"))
    learned = [pb.LearnedRoute(prefix=p) for p in ("fd50::/64", "192.168.50.0/24", "fd00:1:0:0:8::/80", "no")]
    seen = pb.ConnectionState(rdid=RDID, name="c0", state="Connected")
    center.observe(
        node,
        pb.Report(connections=[seen], learned_routes=[pb.LearnedRoutes(rdid=RDID, routes=learned)]),
    )
    routes = {r.prefix: (r.vsid, r.next_hop) for r in center.records("hv01", "customer_route") if r.next_hop}
    assert routes["fd50::/64"] == routes["fd60::/64"] == (7003, "fd00:2::2")
    assert routes["192.168.50.0/24"][1] == compartment(center).customer_address
    assert "fd00:1:0:0:8::/80" not in routes, "a site draws no traffic of VMs to itself"


def test_the_address_can_be_asked_for(center: Datacenter) -> None:
    center.put(BLUE, gateway(localIPv6Address="FD00:2::77"))
    told = compartment(center)
    assert (told.ipv6.customer_address, told.bgp.local_ipv6_address) == ("fd00:2::77", "fd00:2::77")
    vm = interface("fd00:2::77", f"{NETWORK}/subnets/gw6", server={"resourceRef": "/servers/hv01"})
    assert "held by the gateway compartment" in center.refusal("/networkInterfaces/x", vm)


def test_the_address_can_be_asked_for_before_the_router_carries_ipv6(center: Datacenter) -> None:
    """It is the compartment's in any case; where that has none of IPv6, it is nobody's."""
    center.put(BLUE, gateway(localIPv6Address="fd00:2::77", IPv6Routing="Disabled"))
    told = compartment(center)
    assert (told.ipv6.customer_address, told.bgp.local_ipv6_address) == ("fd00:2::77", "")
    center.put(BLUE, gateway(localIPv6Address="fd00:2::77", IPv6Routing="Disabled", subnets=("gw",)))
    vm = interface("fd00:2::77", f"{NETWORK}/subnets/gw6", server={"resourceRef": "/servers/hv01"})
    center.put("/networkInterfaces/x", vm)
    assert "already held by" in center.refusal(
        BLUE, gateway(localIPv6Address="fd00:2::77", IPv6Routing="Disabled")
    )


def test_the_next_hop_may_be_the_compartments_in_a_vlan(center: Datacenter) -> None:
    leg = l3(
        ipAddresses=[
            {"ipAddress": "10.127.134.55", "prefixLength": 25},
            {"ipAddress": "fd61::2", "prefixLength": 64},
        ],
        peerIPAddresses=["10.127.134.65", "fd61::1"],
        routes=[{"destinationPrefix": "14.2.20.1/32"}, {"destinationPrefix": "fd60::/64"}],
    )
    center.put(BLUE, gateway(leg, localIPv6Address="fd61::2"))
    told = compartment(center)
    assert told.bgp.local_ipv6_address == "fd61::2"
    connection = next(c for c in told.connections if c.name == "c0")
    assert list(connection.forwarding.addresses) == ["10.127.134.55/25", "fd61::2/64"]
    assert {r.prefix: r.next_hop for r in connection.routes} == {
        "14.2.20.1/32": "10.127.134.65",
        "fd60::/64": "fd61::1",
    }


SIX = {"destinationPrefix": "fd60::/64"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (gateway(subnets=("gw",)), "give the gateway one, second in 'gatewaySubnets'"),
        (gateway(subnets=("gw6",)), "so is the first subnet"),
        (gateway(subnets=("gw6", "gw")), "so is the first subnet"),
        (gateway(subnets=("gw", "gw")), "so is the first subnet"),
        (gateway(IPv6Routing="Perhaps"), "one of Enabled, Disabled"),
        (gateway(localIPv6Address="10.0.2.7"), "localIPv6Address"),
        (gateway(localIPv6Address="fe80::1%gre"), "scope"),
        (gateway(localIPv6Address="fd00:9::9"), "no address of the compartment"),
        (gateway(localIPv6Address="fd00:2::1"), "the distributed router's"),
        (gateway(localIPv6Address="fd00:2::"), "anycast"),
        (gateway(localIPv6Address="fd00:2::50"), "already held by"),
        (gateway(localIPv6Address="fd00:2::50", IPv6Routing="Disabled"), "already held by"),
        (gateway(localIPv6Address="fd00:2::", IPv6Routing="Disabled"), "anycast"),
        (gateway(localIPv6Address="fd00:9::9", IPv6Routing="Disabled"), "no address of the compartment"),
        (gateway(IPv6Routing="Disabled", bgpNetworks=["fd00:1::/64"]), "carries no IPv6"),
        (gateway(IPv6Routing="Disabled", aggregates=[{"prefix": "fd00::/16"}]), "carries no IPv6"),
        (gateway(aggregates=[{"prefix": "::/0"}]), "would be a default route"),
        (gateway(aggregates=[{"prefix": "fd00::1/128"}]), "has no parts"),
        (gateway(ipsec() | {"routes": [SIX]}), "type IPSec carries IPv4 alone; GRE and L3 carry IPv6"),
        (gateway(gre() | {"routes": [SIX | {"nextHop": "fd61::1"}]}), "lead to its far end"),
        (gateway(gre() | {"routes": [SIX]}, subnets=("gw",), IPv6Routing="Disabled"), "is IPv4 alone"),
        (gateway(l3(routes=[SIX])), "there is none of IPv6"),
        (gateway(l3(ipAddresses=[{"ipAddress": "fd61::2", "prefixLength": 64}])), "needs an IPv4 address"),
        (gateway(l3(ipAddresses=[{"ipAddress": "10.127.134.55", "prefixLength": 64}])), "none of IPv4's"),
        (
            gateway(
                l3(
                    ipAddresses=[
                        {"ipAddress": "10.127.134.55", "prefixLength": 25},
                        {"ipAddress": "fd61::", "prefixLength": 64},
                    ]
                )
            ),
            "no host's address",
        ),
        (
            gateway(
                l3(
                    ipAddresses=[
                        {"ipAddress": "10.127.134.55", "prefixLength": 25},
                        {"ipAddress": "fe80::2", "prefixLength": 64},
                    ]
                )
            ),
            "no host's address",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(center: Datacenter, body: Json, why: str) -> None:
    vm = interface("fd00:2::50", f"{NETWORK}/subnets/gw6", server={"resourceRef": "/servers/hv01"})
    center.put("/networkInterfaces/six", vm)
    assert why in center.refusal(BLUE, body)


def test_a_link_carries_ipv4_alone(center: Datacenter) -> None:
    link = {
        "connectionType": "Link",
        "linkConfiguration": {
            "remoteVirtualNetwork": {"resourceRef": "/virtualNetworks/red"},
            "localPrefixes": ["10.0.0.0/24"],
        },
        "routes": [SIX],
    }
    assert "type Link carries IPv4 alone" in center.refusal(BLUE, gateway(link))


def test_a_next_hop_that_a_policy_sets_is_in_a_gateway_subnet(center: Datacenter) -> None:
    def body(hop: str) -> Json:
        actions = [{"action": "NewNextHop", "value": hop}]
        policy = {"policyName": "p", "policyType": "ModifyAttribute", "setActions": actions}
        wanted = gateway(maps=[{"resourceId": "in", "properties": {"policyList": [policy]}}])
        peer = wanted["properties"]["bgpRouters"][0]["properties"]["bgpPeers"][0]["properties"]
        peer["policyMapIn"] = {"resourceRef": f"{BLUE}/policyMaps/in"}
        return wanted

    assert "not in the gateway subnet" in center.refusal(BLUE, body("fd00:9::9"))
    center.put(BLUE, body("fd00:2::9"))
    assert compartment(center).bgp.peers[0].inbound[0].set_next_hop == "fd00:2::9"


def test_the_subnet_of_a_gateway_keeps_its_ip_version(center: Datacenter) -> None:
    center.put(BLUE, gateway())
    network = center.get(NETWORK)
    changed = deepcopy(network)
    for subnet in changed["properties"]["subnets"]:
        if subnet["resourceId"] == "gw6":
            subnet["properties"]["addressPrefix"] = "10.0.250.0/24"
    changed["properties"]["addressSpace"]["addressPrefixes"].append("10.0.250.0/24")
    assert "and may have one in an IPv6 subnet" in center.refusal(NETWORK, changed)

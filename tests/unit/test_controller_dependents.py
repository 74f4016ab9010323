"""What a connection needs stays as it needs it: whatever would have its gateway refuse the goal state of all
tenants is refused when it is PUT, be it the connection or something that it refers to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from gwnode.connections.wanted import IpsecDefaults
from gwnode.desired import Tenant, tenants
from lab.controller.inventory import GRE_VIP, PLACEMENT
from lab.controller.refusals import Refused
from lab.ipsec.esp import EspBackend
from lab.ipsec.strongswan import Timers

from .controller_support import Datacenter
from .test_controller_connections import (
    BLUE,
    PEER,
    RED,
    every_kind,
    gre,
    ipsec,
    l3,
    network,
    ref,
    told,
    with_connection,
)

POOL, PUBLIC = "/gatewayPools/default", "/publicIPAddresses/blue"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    result = every_kind(tmp_path)
    result.put(PUBLIC, {"properties": {"ipAddress": "203.0.113.20"}})
    yield result
    result.store.close()


def nat(backend: str = "10.0.0.4") -> dict[str, Any]:
    rule = {"protocol": "TCP", "frontendPort": 80, "backendIPAddress": backend}
    return {
        "connectionType": "NAT",
        "natConfiguration": {
            "publicIPAddress": ref(PUBLIC),
            "inboundNatRules": [{"resourceId": "web", "properties": rule}],
        },
        "routes": [{"destinationPrefix": "0.0.0.0/0"}],
    }


def add(lab: Datacenter, gateway: str, name: str, properties: dict[str, Any]) -> None:
    lab.put(gateway, with_connection(lab, gateway, name, properties))


def pool(lab: Datacenter, kind: str = "All", **addresses: Any) -> dict[str, Any]:
    """The pool with other addresses."""
    body = copy.deepcopy(lab.get(POOL))
    body["properties"]["type"] = kind
    body["properties"]["ipConfiguration"] |= addresses
    return {"properties": body["properties"]}


def on_the_gateway(lab: Datacenter, node: str = "gw01") -> dict[str, Tenant]:
    """What a gateway's agent makes of its goal state."""
    defaults = IpsecDefaults(EspBackend.LIBIPSEC, Timers())
    return tenants(lab.goal_state(node), {}, IPv4Network("100.64.0.0/16"), defaults)


def refused(lab: Datacenter, path: str, body: dict[str, Any], status: int = 409) -> str:
    """Why a PUT is refused, with what status; nothing has changed."""
    version, before = lab.version("gw01"), lab.goal_state("gw01")
    with pytest.raises(Refused) as refusal:
        lab.put(path, body)
    assert refusal.value.status == status
    assert lab.version("gw01") == version
    assert lab.goal_state("gw01") == before
    return str(refusal.value)


@pytest.mark.parametrize("vlan", [0, 1002])
def test_a_vlan_stays_one_that_its_connection_can_have(lab: Datacenter, vlan: int) -> None:
    add(lab, BLUE, "mpls", l3())
    add(lab, RED, "mpls", l3("red-vlan"))
    why = refused(lab, *network("blue-vlan", "10.127.134.0/25", vlan))
    assert "/logicalNetworks/blue-vlan is in use by /virtualGateways/blue" in why
    assert ("has no VLAN" if vlan == 0 else "held by /virtualGateways/red/networkConnections/mpls") in why
    lab.put(*network("blue-vlan", "10.127.134.0/25", 1003))
    assert told(lab, "blue", "mpls").forwarding.vlan == 1003


def test_two_subnets_with_one_vlan_are_one_vlan(lab: Datacenter) -> None:
    lab.put(*network("twin", "10.127.134.0/25", 1001))
    add(lab, BLUE, "mpls", l3())
    body = with_connection(lab, RED, "mpls", l3("twin"))
    why = refused(lab, RED, body, 400)
    assert "The VLAN 1001 is already held by /virtualGateways/blue/networkConnections/mpls" in why
    body = with_connection(lab, BLUE, "mpls-too", l3("twin"))
    assert "is already held by /virtualGateways/blue/networkConnections/mpls." in refused(
        lab, BLUE, body, 400
    )
    add(lab, BLUE, "mpls-too", l3("red-vlan"))


def test_a_vlan_is_renumbered_and_then_its_connection(lab: Datacenter) -> None:
    """Neither could be the first if both had to fit at every moment; a gateway can have both."""
    add(lab, BLUE, "mpls", l3())
    lab.put(*network("blue-vlan", "10.99.0.0/24", 1001))
    assert "mpls" in on_the_gateway(lab)["blue"].connections
    body = copy.deepcopy(lab.get(BLUE))
    moved = l3(ipAddresses=[{"ipAddress": "10.99.0.5", "prefixLength": 24}], peerIPAddresses=["10.99.0.1"])
    body["properties"]["networkConnections"][-1]["properties"] = l3(outboundKiloBitsPerSecond=100)
    assert "10.127.134.55 is outside of the VLAN's 10.99.0.0/24" in refused(lab, BLUE, body, 400)
    body["properties"]["networkConnections"][-1]["properties"] = moved
    lab.put(BLUE, body)
    assert list(told(lab, "blue", "mpls").forwarding.addresses) == ["10.99.0.5/24"]


def test_gre_addresses_stay_while_there_are_gre_connections(lab: Datacenter) -> None:
    lab.put(POOL, pool(lab, greVipSubnets=[]))
    lab.put(POOL, pool(lab, greVipSubnets=[ref("/logicalNetworks/gre/subnets/gre")]))
    add(lab, BLUE, "rack", gre())
    assert "has greVipSubnets" in refused(lab, POOL, pool(lab, greVipSubnets=[]))
    assert "IPSec connections" in refused(lab, POOL, pool(lab, kind="S2sGre"))
    # The gateways' network grows over the far end.
    assert f"{PEER} is one of 203.0.113.0/25" in refused(lab, *network("gre", "203.0.113.0/25"))


def test_a_gateway_without_a_gre_address_gets_no_gre_tenant(lab: Datacenter) -> None:
    """Three gateways share one address; a tenant without GRE finds room on the others."""
    for node in ("gw00", "gw02"):
        lab.put(f"/gateways/{node}", {"properties": {"pool": ref(POOL)}})
    path, body = network("gre", "203.0.113.64/30")
    body["properties"]["subnets"][0]["properties"]["defaultGateways"] = ["203.0.113.66"]
    lab.put(path, body)
    allocations = lab.controller.inventory.allocations
    add(lab, BLUE, "rack", gre())

    def blue() -> str:
        return allocations[PLACEMENT, "/virtualgateways/blue"]

    assert (blue(), allocations[GRE_VIP, "gw01"]) == ("gw01", "203.0.113.65")
    assert [node for kind, node in allocations if kind == GRE_VIP] == ["gw01"]
    lab.delete("/gateways/gw00")
    lab.delete("/gateways/gw01")
    assert (blue(), allocations[GRE_VIP, "gw02"]) == ("gw02", "203.0.113.65")
    lab.put("/gateways/gw03", {"properties": {"pool": ref(POOL)}})
    lab.delete(BLUE)
    body = with_connection(lab, RED, "rack", gre())
    body["properties"]["networkConnections"] = body["properties"]["networkConnections"][-1:]
    lab.delete(RED)
    # Best fit would take gw00 by its name.
    lab.put("/gateways/gw00", {"properties": {"pool": ref(POOL)}})
    lab.put(RED, body)
    assert allocations[PLACEMENT, "/virtualgateways/red"] == "gw02"


def test_a_tenant_moves_where_its_new_connection_can_be(lab: Datacenter) -> None:
    lab.put("/gatewayPools/ipsec", pool(lab, "S2sIpSec"))
    lab.put("/gateways/gw00", {"properties": {"pool": ref("/gatewayPools/ipsec")}})
    body = copy.deepcopy(lab.get(BLUE))
    for pools in (["/gatewayPools/ipsec"], ["/gatewayPools/ipsec", POOL]):
        body["properties"]["gatewayPools"] = [ref(path) for path in pools]
        lab.put(BLUE, body)
    allocations = lab.controller.inventory.allocations
    assert allocations[PLACEMENT, "/virtualgateways/blue"] == "gw00"
    add(lab, BLUE, "rack", gre())
    assert allocations[PLACEMENT, "/virtualgateways/blue"] == "gw01"
    assert told(lab, "blue", "rack").gre.local == "203.0.113.65"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("0.0.0.0", "no host's address"),
        ("127.0.0.1", "no host's address"),
        ("224.0.0.1", "no host's address"),
        ("255.255.255.255", "no host's address"),
        ("203.0.113.65", "get their GRE addresses from"),
        ("203.0.113.66", "get their GRE addresses from"),
        ("203.0.113.10", "the public address of the gateways"),
    ],
)
@pytest.mark.parametrize("kind", ["GRE", "IPSec"])
def test_a_tunnel_ends_at_a_host_elsewhere(lab: Datacenter, kind: str, address: str, says: str) -> None:
    properties = (gre() if kind == "GRE" else ipsec()) | {"destinationIPAddress": address}
    assert says in refused(lab, BLUE, with_connection(lab, BLUE, "new", properties), 400)


def test_the_gateways_public_address_does_not_become_a_far_end(lab: Datacenter) -> None:
    add(lab, BLUE, "rack", gre())
    why = refused(lab, "/publicIPAddresses/vip", {"properties": {"ipAddress": PEER}})
    assert "/publicIPAddresses/vip is in use by /virtualGateways/blue" in why
    why = refused(lab, PUBLIC, {"properties": {"ipAddress": "203.0.113.65"}}, 400)
    assert "the GRE address of gateway gw01" in why
    assert "no host's address" in refused(lab, PUBLIC, {"properties": {"ipAddress": "224.0.0.1"}}, 400)


def test_a_public_address_is_no_gateways_gre_address(lab: Datacenter) -> None:
    lab.put(POOL, pool(lab, greVipSubnets=[]))
    lab.put(PUBLIC, {"properties": {"ipAddress": "203.0.113.65"}})
    lab.put(POOL, pool(lab, greVipSubnets=[ref("/logicalNetworks/gre/subnets/gre")]))
    assert lab.controller.inventory.allocations[GRE_VIP, "gw01"] == "203.0.113.66"


def test_a_public_address_stays_public_while_nat_has_it(lab: Datacenter) -> None:
    lab.put(PUBLIC, {"properties": {"ipAddress": "10.1.1.1"}})
    lab.put(PUBLIC, {"properties": {"ipAddress": "203.0.113.20"}})
    add(lab, BLUE, "internet", nat())
    why = refused(lab, PUBLIC, {"properties": {"ipAddress": "10.1.1.1"}})
    assert "Nobody in the internet can reach 10.1.1.1" in why
    lab.put(PUBLIC, {"properties": {"ipAddress": "203.0.113.21"}})
    assert told(lab, "blue", "internet").nat.public_address == "203.0.113.21"


def test_a_pool_does_not_share_what_is_one_tenants(lab: Datacenter) -> None:
    add(lab, BLUE, "internet", nat())
    why = refused(lab, POOL, pool(lab, publicIPAddresses=[ref(PUBLIC)]))
    assert f"{PUBLIC} is in use: /virtualGateways/blue/networkConnections/internet" in why


def test_subnets_stay_that_inbound_rules_lead_into(lab: Datacenter) -> None:
    blue = copy.deepcopy(lab.get("/virtualNetworks/blue"))
    with_more = copy.deepcopy(blue)
    with_more["properties"]["addressSpace"]["addressPrefixes"].append("10.77.0.0/24")
    with_more["properties"]["subnets"].append(
        {"resourceId": "late", "properties": {"addressPrefix": "10.77.0.0/24"}}
    )
    lab.put("/virtualNetworks/blue", with_more)
    add(lab, BLUE, "internet", nat("10.77.0.4"))
    assert "it is in no subnet of VMs" in refused(lab, "/virtualNetworks/blue", blue)
    with pytest.raises(Refused, match="it is in no subnet of VMs"):
        lab.delete("/virtualNetworks/blue/subnets/late")
    assert "internet" in on_the_gateway(lab)["blue"].connections
    add(lab, RED, "rack", gre())


def test_a_far_end_is_one_tenants_on_every_gateway_that_may_carry_it(lab: Datacenter) -> None:
    """Tenants of [other] and of [default, other] can meet on a gateway of `other`."""
    lab.put("/gatewayPools/other", pool(lab))
    add(lab, RED, "second", ipsec())
    body = copy.deepcopy(lab.get(RED))
    body["properties"]["gatewayPools"] = [ref(POOL), ref("/gatewayPools/other")]
    lab.put(RED, body)
    body = with_connection(lab, BLUE, "second", ipsec())
    body["properties"]["gatewayPools"] = [ref("/gatewayPools/other")]
    why = refused(lab, BLUE, body, 400)
    assert "198.51.100.77 is already held by /virtualGateways/red/networkConnections/second" in why
    body["properties"]["gatewayPools"].append(ref(POOL))
    assert refused(lab, BLUE, body, 400).count("is already held") == 1


def test_a_tenant_stands_on_a_gateway_for_all_its_connections(lab: Datacenter) -> None:
    lab.put("/gatewayPools/gre", pool(lab, "S2sGre"))
    lab.put("/gatewayPools/ipsec", pool(lab, "S2sIpSec"))
    lab.put("/gateways/gw00", {"properties": {"pool": ref("/gatewayPools/gre")}})
    body = with_connection(lab, BLUE, "rack", gre())
    body["properties"]["gatewayPools"] = [ref("/gatewayPools/gre"), ref("/gatewayPools/ipsec")]
    assert "as a whole" in refused(lab, BLUE, body, 400)
    body["properties"]["gatewayPools"] = [ref("/gatewayPools/gre"), ref(POOL)]
    lab.put(BLUE, body)
    assert lab.controller.inventory.allocations[PLACEMENT, "/virtualgateways/blue"] == "gw01"
    body["properties"]["networkConnections"] = body["properties"]["networkConnections"][-1:]
    body["properties"]["gatewayPools"] = [ref("/gatewayPools/gre")]
    body["properties"]["bgpRouters"] = []
    lab.put(BLUE, body)
    assert lab.controller.inventory.allocations[PLACEMENT, "/virtualgateways/blue"] == "gw00"


def test_a_pool_for_vlans_needs_no_public_address(lab: Datacenter) -> None:
    forwarding = pool(lab, "Forwarding", publicIPAddresses=[], greVipSubnets=[])
    lab.put("/gatewayPools/forwarding", forwarding)
    lab.put("/gateways/gw02", {"properties": {"pool": ref("/gatewayPools/forwarding")}})
    body = copy.deepcopy(lab.get(BLUE))
    body["properties"] |= {
        "gatewayPools": [ref("/gatewayPools/forwarding")],
        "networkConnections": [{"resourceId": "mpls", "properties": l3()}],
        "bgpRouters": [],
    }
    lab.put(BLUE, body)
    assert on_the_gateway(lab, "gw02")["blue"].vip is None


def test_what_was_wrong_before_is_not_held_against_a_change(lab: Datacenter) -> None:
    """As after an upgrade: the store holds what would not be accepted any more."""
    add(lab, BLUE, "internet", nat())
    found = lab.controller.inventory.at(PUBLIC)
    assert found is not None
    object.__setattr__(found[1].properties, "ip_address", "10.1.1.1")
    blue = copy.deepcopy(lab.get("/virtualNetworks/blue"))
    blue["properties"]["addressSpace"]["addressPrefixes"].append("10.77.0.0/24")
    lab.put("/virtualNetworks/blue", blue)
    assert "10.77.0.0/24" in str(lab.get("/virtualNetworks/blue"))

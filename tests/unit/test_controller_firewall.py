"""Access control lists and route tables: what is accepted, what is refused, and what hosts get of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controller.refusals import Refused

from .controller_support import Datacenter, hybrid_cloud, interface

WEB_TIER = {
    # SDN:NCRESTExamples/WebTierAcl.ps1, as the wrappers write it: numbers are strings.
    "properties": {
        "aclRules": [
            {
                "resourceId": "deny-all",
                "properties": {
                    "protocol": "All",
                    "sourcePortRange": "0-65535",
                    "destinationPortRange": "0-65535",
                    "action": "Deny",
                    "sourceAddressPrefix": "*",
                    "destinationAddressPrefix": "*",
                    "priority": "110",
                    "type": "Inbound",
                    "logging": "Enabled",
                },
            },
            {
                "resourceId": "allow-http",
                "properties": {
                    "protocol": "tcp",
                    "sourcePortRange": "*",
                    "destinationPortRange": "80",
                    "action": "Allow",
                    "sourceAddressPrefix": "192.168.0.0/16",
                    "destinationAddressPrefix": "10.0.0.4",
                    "priority": "100",
                    "type": "Inbound",
                    "logging": "Disabled",
                },
            },
        ]
    }
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    result = Datacenter(tmp_path, hybrid_cloud())
    result.put("/accessControlLists/web-tier", WEB_TIER)
    yield result
    result.store.close()


def acl(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"protocol": "TCP", "action": "Deny", "type": "Inbound", "priority": 100}
    listed = [{"resourceId": f"r{n}", "properties": base | rule} for n, rule in enumerate(rules)]
    return {"properties": {"aclRules": listed} | more}


def refer(lab: Datacenter, path: str, **references: str) -> None:
    """PUT a resource back with references added."""
    body = lab.get(path)
    properties = body["properties"]
    if "ipConfigurations" in properties and path.startswith("/networkInterfaces"):
        properties = properties["ipConfigurations"][0]["properties"]
    properties.update({name: {"resourceRef": ref} for name, ref in references.items()})
    lab.put(path, body)


def test_microsofts_example_is_accepted_and_answered(lab: Datacenter) -> None:
    rule = lab.properties("/accessControlLists/web-tier/aclRules/allow-http")
    assert rule == {
        "protocol": "TCP",
        "sourcePortRange": "*",
        "destinationPortRange": "80",
        "sourceAddressPrefix": "192.168.0.0/16",
        "destinationAddressPrefix": "10.0.0.4/32",
        "action": "Allow",
        "type": "Inbound",
        "logging": "Disabled",
        "priority": 100,
        "provisioningState": "Succeeded",
    }


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([{"priority": 99}], "greater than or equal to 100"),
        ([{"priority": 65001}], "less than or equal to 65000"),
        ([{}, {}], "Two Inbound rules have priority 100: r0 and r1"),
        ([{"protocol": "GRE"}], "one of TCP, UDP"),
        ([{"action": "Drop"}], "one of Allow, Deny"),
        ([{"type": "Both"}], "one of Inbound, Outbound"),
        ([{"logging": "On"}], "one of Enabled, Disabled"),
        ([{"destinationPortRange": "200-100"}], "goes upwards"),
        ([{"destinationPortRange": "65536"}], "ends at 65535"),
        ([{"destinationPortRange": "http"}], "one port"),
        ([{"sourceAddressPrefix": "Internet"}], "does not appear to be"),
        ([{"sourceAddressPrefix": "10.0.0.1/24"}], "host bits"),
        ([{"protocol": "ICMP", "destinationPortRange": "8"}], "ICMP has no ports"),
        ([{"protocol": "All", "sourcePortRange": "80"}], "All has no ports"),
        ([{"sourceAddressPrefix": "10.0.0.0/24", "destinationAddressPrefix": "::/0"}], "mixes IPv4 and IPv6"),
        ([{"protocol": "ICMPv6", "sourceAddressPrefix": "10.0.0.0/24"}], "mixes IPv4 and IPv6"),
        ([{"priority": 100 + n} for n in range(257)], "257 Inbound rules"),
        ([{"protocol": "ICMP", "priority": 100 + n} for n in range(129)], "258 Inbound rules"),
    ],
)
def test_rules_that_cannot_be(lab: Datacenter, rules: list[dict[str, Any]], says: str) -> None:
    assert says in lab.refusal("/accessControlLists/bad", acl(*rules))


def test_directions_have_priorities_of_their_own(lab: Datacenter) -> None:
    lab.put("/accessControlLists/both", acl({"type": "Inbound"}, {"type": "Outbound"}))


def test_references_lead_somewhere_and_back(lab: Datacenter) -> None:
    refer(lab, "/virtualNetworks/blue/subnets/app", accessControlList="/accessControlLists/web-tier")
    refer(lab, "/networkInterfaces/blue-web", accessControlList="/ACCESSCONTROLLISTS/Web-Tier")
    found = lab.properties("/accessControlLists/web-tier")
    assert found["subnets"] == [{"resourceRef": "/virtualNetworks/blue/subnets/app"}]
    configuration = "/networkInterfaces/blue-web/ipConfigurations/"
    assert [r["resourceRef"].startswith(configuration) for r in found["ipConfigurations"]] == [True]
    with pytest.raises(Refused, match="is in use"):
        lab.delete("/accessControlLists/web-tier")
    with pytest.raises(Refused, match="does not exist in accesscontrollists"):
        refer(lab, "/virtualNetworks/blue/subnets/app", accessControlList="/accessControlLists/none")


def test_an_interface_on_a_logical_network_has_no_firewall(lab: Datacenter) -> None:
    body = interface("192.168.6.200", "/logicalNetworks/provider/subnets/provider")
    configuration = body["properties"]["ipConfigurations"][0]["properties"]
    configuration["accessControlList"] = {"resourceRef": "/accessControlLists/web-tier"}
    assert "have a firewall" in lab.refusal("/networkInterfaces/x", body)


def test_hosts_get_the_lists_of_their_own_ports(lab: Datacenter) -> None:
    lab.put("/accessControlLists/Subnet", acl({"protocol": "UDP"}))
    refer(lab, "/virtualNetworks/blue/subnets/web", accessControlList="/accessControlLists/subnet")
    refer(lab, "/networkInterfaces/blue-web", accessControlList="/accessControlLists/web-tier")
    ports = {port.interface_id: list(port.access_control_lists) for port in lab.records("hv01", "port")}
    assert ports["blue-web"] == ["web-tier", "Subnet"]
    lists = {item.id: item for item in lab.records("hv01", "access_control_list")}
    assert lists.keys() == {"web-tier", "Subnet"}
    assert lab.records("hv02", "access_control_list") == []
    first, second = lists["web-tier"].rules
    assert (first.id, first.deny, first.protocol, first.source_prefix) == (
        "allow-http",
        False,
        6,
        "192.168.0.0/16",
    )
    assert (first.destination_port_first, first.destination_port_last) == (80, 80)
    assert (second.id, second.deny, second.log, second.protocol) == ("deny-all", True, True, 0)
    assert (second.source_prefix, second.destination_prefix) == ("", "")
    assert (second.source_port_first, second.source_port_last) == (0, 65535)


def test_icmp_is_that_of_both_ip_versions(lab: Datacenter) -> None:
    refer(lab, "/networkInterfaces/blue-web", accessControlList="/accessControlLists/web-tier")
    lab.put("/accessControlLists/web-tier", acl({"protocol": "ICMP"}))
    (found,) = lab.records("hv01", "access_control_list")
    assert [(rule.id, rule.protocol) for rule in found.rules] == [("r0", 1), ("r0", 58)]


def test_a_changed_list_goes_to_those_who_use_it_and_nothing_else_does(lab: Datacenter) -> None:
    refer(lab, "/networkInterfaces/blue-web", accessControlList="/accessControlLists/web-tier")
    versions = [lab.version(name) for name in ("hv01", "hv02")]
    before = lab.goal_state("hv01")
    lab.put("/accessControlLists/web-tier", acl({"destinationPortRange": "443"}))
    after = lab.goal_state("hv01")
    assert {key for key in after if after[key] != before.get(key)} == {"access-control-list/web-tier"}
    assert [lab.version(name) for name in ("hv01", "hv02")] == [versions[0] + 1, versions[1]]


# --- user-defined routes ---


def table(*routes: dict[str, Any]) -> dict[str, Any]:
    listed = [{"resourceId": f"r{n}", "properties": route} for n, route in enumerate(routes)]
    return {"properties": {"routes": listed}}


def via(prefix: str, next_hop: str | None) -> dict[str, Any]:
    if next_hop is None:
        return {"addressPrefix": prefix, "nextHopType": "None"}
    return {"addressPrefix": prefix, "nextHopType": "virtualappliance", "nextHopIpAddress": next_hop}


def test_user_routes_are_those_of_the_subnets_that_refer_to_the_table(lab: Datacenter) -> None:
    lab.put("/routeTables/t", table(via("0.0.0.0/0", "10.0.1.4"), via("192.0.2.0/24", None)))
    refer(lab, "/virtualNetworks/blue/subnets/web", routeTable="/routeTables/t")
    found = {(r.vsid, r.prefix, r.next_hop, r.next_hop_vsid) for r in lab.records("hv02", "user_route")}
    assert found == {(5001, "0.0.0.0/0", "10.0.1.4", 5002), (5001, "192.0.2.0/24", "", 0)}
    subnet = {"resourceRef": "/virtualNetworks/blue/subnets/web"}
    assert lab.properties("/routeTables/t")["subnets"] == [subnet]
    lab.put("/routeTables/t", table(via("192.0.2.0/24", None)))
    assert [r.prefix for r in lab.records("hv01", "user_route")] == ["192.0.2.0/24"]
    with pytest.raises(Refused, match="is in use"):
        lab.delete("/routeTables/t")


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ([{"addressPrefix": "0.0.0.0/0", "nextHopType": "Internet"}], "one of VirtualAppliance, None"),
        ([{"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance"}], "needs its address"),
        ([via("0.0.0.0/0", "10.0.1.4") | {"nextHopType": "None"}], "has no next hop"),
        ([via("10.9.0.0/24", None), via("10.9.0.0/24", None)], "routed twice"),
        ([via("10.9.0.1/24", None)], "host bits"),
        ([via("0.0.0.0/0", "10.77.0.4")], "in no subnet of blue"),
        ([via("0.0.0.0/0", "10.0.1.1")], "the distributed router's own"),
        ([via("::/0", None)], "not of the IP version"),
    ],
)
def test_routes_that_cannot_be(lab: Datacenter, routes: list[dict[str, Any]], says: str) -> None:
    lab.put("/routeTables/t", table())
    refer(lab, "/virtualNetworks/blue/subnets/web", routeTable="/routeTables/t")
    assert says in lab.refusal("/routeTables/t", table(*routes))
    assert lab.records("hv01", "user_route") == []


def test_a_subnet_cannot_take_a_table_that_leads_out_of_its_network(lab: Datacenter) -> None:
    lab.put("/routeTables/t", table(via("0.0.0.0/0", "10.77.0.4")))
    with pytest.raises(Refused, match="in no subnet of blue"):
        refer(lab, "/virtualNetworks/blue/subnets/web", routeTable="/routeTables/t")

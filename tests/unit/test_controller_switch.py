"""How hosts' switches work: encapsulation, uplink teams, ports' settings, external router mode, partners'
appliances, and what the ports count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controller.catalog import VIRTUAL_NETWORK_MANAGER, parse_path
from lab.controller.refusals import Refused
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud, interface

MANAGER = "/virtualNetworkManager/configuration"
WEB = "/virtualNetworks/blue/subnets/web"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    result = Datacenter(tmp_path, hybrid_cloud())
    yield result
    result.store.close()


def manager(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


def on(server: str, address: str, subnet: str = WEB, **more: Any) -> dict[str, Any]:
    return interface(address, subnet, server={"resourceRef": f"/servers/{server}"}, **more)


def with_settings(**settings: Any) -> dict[str, Any]:
    return on("hv01", "10.0.0.50", portSettings=settings)


# --- how virtual networks are carried ---


def test_the_manager_is_always_there(lab: Datacenter) -> None:
    assert lab.properties(MANAGER)["networkVirtualizationProtocol"] == "NVGRE"
    assert lab.records("hv01", "switch_settings") == []
    lab.put("/VirtualNetworkManager/Configuration", manager(networkVirtualizationProtocol="vxlan"))
    for node in ("hv01", "hv02", "gw01"):
        (settings,) = lab.records(node, "switch_settings")
        assert (settings.encapsulation, settings.dscp) == ("vxlan", "pipe")
        assert settings.team_mode == "hyper-v-port"
    with pytest.raises(Refused, match="is always there"):
        lab.delete(MANAGER)
    again = lab.restarted().inventory
    managers = [resource.properties for _, resource in again.all(VIRTUAL_NETWORK_MANAGER)]
    assert [properties.network_virtualization_protocol for properties in managers] == ["VXLAN"]


def test_there_is_one_manager(lab: Datacenter) -> None:
    assert parse_path("/virtualNetworkManager/other") is None
    assert "one of NVGRE, VXLAN" in lab.refusal(MANAGER, manager(networkVirtualizationProtocol="STT"))
    assert "one of pipe, uniform" in lab.refusal(MANAGER, manager(dscpMode="short-pipe"))


# --- uplink teams ---


def addresses(lab: Datacenter, node: str) -> list[tuple[str, int]]:
    found = lab.records(node, "provider_address")
    return sorted(((item.address, item.uplink) for item in found), key=lambda item: item[1])


def homes(lab: Datacenter, node: str) -> dict[str, str]:
    return {port.interface_id: port.provider_address for port in lab.records(node, "port")}


def test_a_team_has_an_address_for_each_link(lab: Datacenter) -> None:
    before = addresses(lab, "hv01")
    team = {"uplinkCount": "2", "teamMode": "Dynamic", "uplinkMbps": 1000}
    lab.put("/servers/hv01", {"properties": team})
    assert addresses(lab, "hv01") == [*before, ("192.168.6.13", 1)]
    assert lab.properties("/servers/hv01")["providerAddresses"] == [before[0][0], "192.168.6.13"]
    (settings,) = lab.records("hv01", "switch_settings")
    assert (settings.team_mode, settings.uplink_kbps) == ("dynamic", 1_000_000)
    lab.put("/servers/hv01", {"properties": {"uplinkCount": 1}})
    assert addresses(lab, "hv01") == before
    assert lab.records("hv01", "switch_settings") == []


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"uplinkCount": 3}, "less than or equal to 2"),
        ({"uplinkCount": 0}, "greater than or equal to 1"),
        ({"teamMode": "lacp"}, "one of hyper-v-port, hash, dynamic"),
        ({"uplinkMbps": -1}, "greater than or equal to 0"),
    ],
)
def test_teams_that_cannot_be(lab: Datacenter, properties: dict[str, Any], says: str) -> None:
    assert says in lab.refusal("/servers/hv01", {"properties": properties})


def test_homes_are_even_and_stay(lab: Datacenter) -> None:
    old = homes(lab, "hv01")
    lab.put("/servers/hv01", {"properties": {"uplinkCount": 2}})
    assert homes(lab, "hv01") == old, "a team that grows moves nobody"
    for number in range(20, 28):
        lab.put(f"/networkInterfaces/vm{number}", on("hv01", f"10.0.0.{number}"))
    given = homes(lab, "hv01")
    assert given.items() >= old.items()
    links = [address for address, _ in addresses(lab, "hv01")]
    counts = [Counter(given.values())[address] for address in links]
    assert abs(counts[0] - counts[1]) <= 1
    lab.put("/networkInterfaces/vm20", on("hv01", "10.0.0.20", tags={"a": "b"}))
    lab.put("/servers/hv09", {"properties": {}})
    assert homes(lab, "hv01") == given, "what is given out again elsewhere moves nobody"
    leaving = [name for name, address in given.items() if address == links[1]][:2]
    for name in leaving:
        assert lab.delete(f"/networkInterfaces/{name}")
    assert lab.restarted().policy.goal_state("hv01") == lab.goal_state("hv01")
    assert homes(lab, "hv01") == {name: home for name, home in given.items() if name not in leaving}
    for number in (30, 31):
        lab.put(f"/networkInterfaces/vm{number}", on("hv01", f"10.0.0.{number}"))
        assert homes(lab, "hv01")[f"vm{number}"] == links[1], "who has left leaves room"
    lab.put("/servers/hv01", {"properties": {"uplinkCount": 1}})
    assert set(homes(lab, "hv01").values()) == set(old.values())


def test_a_vm_is_where_its_records_say(lab: Datacenter) -> None:
    lab.put("/servers/hv01", {"properties": {"uplinkCount": 2}})
    for number in (20, 21):
        lab.put(f"/networkInterfaces/vm{number}", on("hv01", f"10.0.0.{number}"))
    given = homes(lab, "hv01")
    for node in ("hv01", "hv02", "gw01"):
        web = [record for record in lab.records(node, "lookup_record") if record.vsid == 5001]
        places = {record.customer_address: record.provider_address for record in web}
        assert {places["10.0.0.20"], places["10.0.0.21"]} == {given["vm20"], given["vm21"]}
        members = {m.provider_address for m in lab.records(node, "provider_member")}
        assert members >= {given["vm20"], given["vm21"]}


def test_a_pool_that_is_too_small_leaves_a_host_one_link(lab: Datacenter) -> None:
    for number in range(10, 96):
        lab.put(f"/servers/hv{number}", {"properties": {}})
    lab.put("/servers/hv01", {"properties": {"uplinkCount": 2}})
    lab.put("/servers/hv02", {"properties": {"uplinkCount": 2}})
    state = lab.properties("/servers/hv02")["configurationState"]
    assert len(addresses(lab, "hv01")) == 2
    assert len(addresses(lab, "hv02")) == 1
    assert state["detailedInfo"][0]["code"] == "PAIpAddressExhausted"
    lab.put("/networkInterfaces/vm20", on("hv02", "10.0.0.20"))
    lab.put("/networkInterfaces/vm21", on("hv02", "10.0.0.21"))
    assert set(homes(lab, "hv02").values()) == {addresses(lab, "hv02")[0][0]}


# --- port settings ---


def test_port_settings_become_the_port(lab: Datacenter) -> None:
    qos = {"outboundMaximumMbps": "100", "inboundMaximumMbps": 50}
    more = {"dhcpGuardEnabled": "false", "routerGuardEnabled": False, "ipForwardingEnabled": True}
    lab.put("/networkInterfaces/x", with_settings(stormLimit=500, qosSettings=qos, **more))
    port = next(port for port in lab.records("hv01", "port") if port.interface_id == "x")
    assert (port.dhcp_server, port.router_advertiser, port.forwarding) == (True, True, True)
    assert port.storm_limit_pps == 500
    assert (port.outbound_maximum_kbps, port.inbound_maximum_kbps) == (100_000, 50_000)
    members = {m.provider_address: m for m in lab.records("hv02", "provider_member") if m.rdid.endswith("b1")}
    assert {m.forwarder for a, m in members.items() if a == port.provider_address} == {True}
    assert {m.forwarder for a, m in members.items() if a != port.provider_address} == {False}


def test_guards_are_on_unless_turned_off(lab: Datacenter) -> None:
    lab.put("/networkInterfaces/x", with_settings(macSpoofingEnabled="False", vmqWeight="100", iovWeight="0"))
    port = next(port for port in lab.records("hv01", "port") if port.interface_id == "x")
    assert {port.dhcp_server, port.router_advertiser, port.forwarding} == {False}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"macSpoofingEnabled": True}, "cannot be spoofed"),
        ({"portFlowLimit": 5}, "limits no flows"),
        ({"iovWeight": 100}, "no SR-IOV"),
        ({"stormLimit": -1}, "greater than or equal to 0"),
        ({"qosSettings": {"outboundMaximumMbps": 4_294_968}}, "less than or equal to 4294967"),
        ({"qosSettings": {"outboundReservedMode": "weight"}}, "Only absolute reservations"),
        ({"qosSettings": {"outboundReservedValue": 20, "outboundMaximumMbps": 10}}, "More is reserved"),
        ({"qosSettings": {"outboundReservedValue": 20}}, "hv01 has no 'uplinkMbps'"),
    ],
)
def test_port_settings_that_cannot_be(lab: Datacenter, settings: dict[str, Any], says: str) -> None:
    assert says in lab.refusal("/networkInterfaces/x", with_settings(**settings))


def test_no_more_is_reserved_than_there_is(lab: Datacenter) -> None:
    lab.put("/servers/hv01", {"properties": {"uplinkMbps": 100}})
    reserved = {"qosSettings": {"outboundReservedValue": 60}}
    lab.put("/networkInterfaces/x", with_settings(**reserved))
    lab.put("/networkInterfaces/x", with_settings(**reserved) | {"tags": {"a": "b"}})
    says = lab.refusal("/networkInterfaces/y", on("hv01", "10.0.0.51", portSettings=reserved))
    assert "120 Mbit/s would be reserved on hv01, of 100" in says
    assert "60 Mbit/s would be reserved" in lab.refusal("/servers/hv01", {"properties": {"uplinkMbps": 50}})
    port = next(port for port in lab.records("hv01", "port") if port.interface_id == "x")
    assert port.outbound_reserved_kbps == 60_000


# --- partners' appliances ---


def test_a_partners_appliance_is_a_record_like_any_other(lab: Datacenter) -> None:
    lab.put("/networkInterfaces/f5", interface("10.0.0.60", WEB, partnerProviderAddress="192.168.6.240"))
    for node in ("hv01", "hv02", "gw01"):
        places = {r.customer_address: r.provider_address for r in lab.records(node, "lookup_record")}
        assert places["10.0.0.60"] == "192.168.6.240"
        members = {m.provider_address: m for m in lab.records(node, "provider_member")}
        assert not members["192.168.6.240"].gateway
        assert "f5" not in homes(lab, node)
    assert lab.delete("/networkInterfaces/f5")
    assert "192.168.6.240" not in {m.provider_address for m in lab.records("hv01", "provider_member")}


@pytest.mark.parametrize(
    ("address", "more", "says"),
    [
        ("10.99.0.1", {}, "outside of the provider network"),
        ("192.168.6.20", {}, "inside of a pool"),
        ("192.168.6.240", {"server": {"resourceRef": "/servers/hv01"}}, "stands on no server"),
    ],
)
def test_appliances_that_cannot_be(lab: Datacenter, address: str, more: dict[str, Any], says: str) -> None:
    body = interface("10.0.0.60", WEB, partnerProviderAddress=address, **more)
    assert says in lab.refusal("/networkInterfaces/f5", body)


# --- external router mode ---


def test_external_router_mode_leaves_a_host_what_its_vms_are_in(lab: Datacenter) -> None:
    whole = {node: lab.goal_state(node) for node in ("hv01", "hv02", "gw01")}
    lab.put(MANAGER, manager(useExternalRouter="true"))
    gateway = lab.properties("/gateways/gw01")["providerAddress"]
    mine = {port.vsid for port in lab.records("hv01", "port")}
    assert {s.vsid for s in lab.records("hv01", "virtual_subnet")} == mine
    assert {r.vsid for r in lab.records("hv01", "lookup_record")} == mine
    subnets = {s.prefix: s.vsid for s in lab.records("hv01", "virtual_subnet")}
    for route in lab.records("hv01", "customer_route"):
        assert route.external_router == (gateway if route.prefix == "0.0.0.0/0" else "")
        assert route.prefix == "0.0.0.0/0" or subnets[route.prefix]
    assert "0.0.0.0/0" in {r.prefix for r in lab.records("hv01", "customer_route")}
    members = lab.records("hv01", "provider_member")
    assert {m.forwarder for m in members if m.provider_address == gateway} == {True}
    (settings,) = lab.records("gw01", "switch_settings")
    assert settings.external_router
    assert lab.records("hv01", "switch_settings") == [], "a host routes for nobody else"
    assert {k: v for k, v in lab.goal_state("gw01").items() if k != "switch-settings"} == whole["gw01"]
    assert len(lab.goal_state("hv01")) < len(whole["hv01"])
    assert lab.restarted().policy.goal_state("hv01") == lab.goal_state("hv01")
    lab.put(MANAGER, manager(useExternalRouter="false"))
    assert {node: lab.goal_state(node) for node in whole} == whole


# --- metering ---


def test_traffic_is_added_up_over_migrations(lab: Datacenter) -> None:
    def meter(packets: int) -> pb.Report:
        counts = [("outbound", "internal", packets), ("inbound", "gateway", 2 * packets)]
        return pb.Report(
            meters=[
                pb.Meter(interface_id="blue-web", direction=d, kind=k, packets=n, bytes=100 * n)
                for d, k, n in counts
            ]
        )

    assert "statistics" not in lab.properties("/networkInterfaces/blue-web")
    lab.observe("hv01", meter(10))
    lab.observe("hv01", meter(15))
    lab.observe("hv02", meter(3))
    lab.observe("hv02", meter(1))
    assert lab.properties("/networkInterfaces/blue-web")["statistics"] == {
        "internal": {"outboundPackets": 19, "outboundBytes": 1900},
        "gateway": {"inboundPackets": 38, "inboundBytes": 3800},
    }
    lab.observe("hv02", pb.Report())
    lab.observe("hv02", meter(5))
    counted = lab.properties("/networkInterfaces/blue-web")["statistics"]
    assert counted["internal"]["outboundPackets"] == 24, "it has left hv02 and come back"
    body = lab.get("/networkInterfaces/blue-web")
    assert lab.delete("/networkInterfaces/blue-web")
    lab.observe("hv02", meter(7))
    lab.put("/networkInterfaces/blue-web", body)
    assert "statistics" not in lab.properties("/networkInterfaces/blue-web")

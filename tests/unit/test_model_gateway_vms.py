"""Gateway VMs and standing-by gateways in a topology file: what they become, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InvalidTopologyError
from lab.model.codes import Code
from lab.model.lab import Lab, NodeKind
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.intent import intent
from lab.plan.kinds import TUN, properties_of

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


def of(name: str) -> Lab:
    return resolve(load(TOPOLOGIES / f"{name}.yml"))


def refusals(tmp_path: Path, name: str, old: str, new: str) -> str:
    """What is said of a topology that has been changed."""
    text = (TOPOLOGIES / f"{name}.yml").read_text()
    assert old in text
    path = tmp_path / "changed.yml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidTopologyError) as caught:
        load(path)
    return str(caught.value)


def test_a_gateway_vm_is_dual_homed_and_routes_what_the_tunnel_carries() -> None:
    node = of("gateway-2012").nodes["blue-gw"]
    assert node.kind is NodeKind.GATEWAY_VM
    assert {item.interface: str(item.address) for item in node.addresses} == {
        "eth0": "10.0.2.2/29",
        "wan0": "203.0.113.20/24",
    }
    assert {str(route.destination): str(route.via) for route in node.routes} == {
        "198.51.100.2/32": "203.0.113.1",
        "10.0.0.0/24": "10.0.2.1",
    }
    assert node.interface_sysctls["net.ipv4.conf.wan0.forwarding"] == "0"
    assert TUN in properties_of(node).devices
    assert node.interfaces == ("wan0", "eth0")


def test_both_ends_of_its_tunnel_agree_and_one_of_them_calls() -> None:
    nodes = of("gateway-2012").nodes
    gateway, site = nodes["blue-gw"].site, nodes["blue-hq"].site
    assert gateway is not None
    assert site is not None
    assert (gateway.wan_address, gateway.vip) == (site.vip, site.wan_address)
    assert gateway.shared_secret == site.shared_secret
    assert (gateway.calls, site.calls) == (False, True)
    assert not gateway.on_demand, "charon calls once when it has been started anew"
    assert (gateway.routes, site.routes) == (("192.168.50.0/24",), ("10.0.0.0/24",))
    assert not gateway.bgp
    assert not site.bgp


def test_hosts_send_what_is_for_the_site_to_the_gateway_vm() -> None:
    resources = dict(intent(of("gateway-2012")))
    (table,) = (body for path, body in resources.items() if path.startswith("/routeTables/blue"))
    (route,) = table["properties"]["routes"]
    assert route["properties"]["addressPrefix"] == "192.168.50.0/24"
    assert route["properties"]["nextHopIpAddress"] == "10.0.2.2"
    assert resources["/networkInterfaces/blue-gw"]["properties"]["portSettings"]["ipForwardingEnabled"]


def test_one_of_two_gateways_stands_by_and_the_vip_is_announced() -> None:
    lab = of("gateway-2012r2")
    pool = dict(intent(lab))["/gatewayPools/gateways"]["properties"]
    assert pool["redundantGatewayCount"] == 1
    assert [str(prefix) for prefix in lab.fabric.announced] == ["203.0.113.10/32"]


def test_the_sites_router_answers_for_what_has_come_up_in_the_cloud() -> None:
    setting = "net.ipv4.conf.lan0.proxy_arp"
    assert of("dr-service-failed-over").nodes["blue-hq"].interface_sysctls[setting] == "1"
    assert setting not in of("dr-service").nodes["blue-hq"].interface_sysctls


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("gateway-2012", "site: red-hq", "site: blue-hq", "already the site of blue-gw"),
        ("gateway-2012", "site: red-hq", "site: nowhere", "nowhere"),
        ("gateway-2012", "203.0.113.21", "203.0.113.20", "the public address of `blue-gw` already"),
        ("gateway-2012", "203.0.113.20", "203.0.113.1", "203.0.113.1"),
        (
            "gateway-2012",
            "lan: {prefix: 192.168.50.0/24}",
            "lan: {prefix: 10.0.0.0/24}",
            "overlaps 10.0.0.0/24",
        ),
        (
            "gateway-2012",
            "host: hv01, subnet: web, address: 10.0.0.4",
            "host: hv01, subnet: gateway, address: 10.0.2.3",
            "in the subnet of the gateway",
        ),
        ("gateway-2012r2", "redundant-gateways: 1", "redundant-gateways: 0", "would share the one VIP"),
        ("gateway-2012r2", "redundant-gateways: 1", "redundant-gateways: 2", "stand by"),
        (
            "dr-service-failed-over",
            "blue-pc: {address: 192.168.50.100}",
            "blue-pc: {address: 192.168.50.12}",
            "overlaps 192.168.50.8/29",
        ),
        (
            "dr-service-failed-over",
            "recovered: {vsid: 5003, prefix: 192.168.50.8/29}",
            "recovered: {vsid: 5003, prefix: 192.168.50.0/28}",
            "overlaps 192.168.50.0/28",
        ),
        ("linked", "tenant: blue, offers: [db]", "tenant: red, offers: [db]", "has no link to"),
        (
            "linked",
            "offers: [web], uses: [db]",
            "offers: [private], uses: [db]",
            "10.0.1.0/24 overlaps 10.0.1.0/24",
        ),
        ("linked", "offers: [web], uses: [db]", "offers: [gateway], uses: [db]", "the gateway's own subnet"),
        ("linked", "tenant: green, offers", "tenant: blue, offers", "cannot be linked to itself"),
        ("linked", "offers: [web], uses: [db]", "offers: [web], uses: [none]", "none"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, name: str, old: str, new: str, said: str) -> None:
    assert said in refusals(tmp_path, name, old, new)


def test_the_sites_behind_one_tenants_gateway_vms_are_apart(tmp_path: Path) -> None:
    """Its hosts have one route to each: of two sites with one LAN, one would never be reached."""
    vm = "host: hostgw, subnet: second, address: 10.0.3.2"
    tunnel = "public-address: 203.0.113.22, site: branch, shared-secret: blue-keeps-its-secrets"
    changes = {
        "      gateway: {vsid: 5002, ": "      second: {vsid: 5003, prefix: 10.0.3.0/29}\n",
        "  red:\n": f"      branch-gw: {{{vm}, gateway: {{{tunnel}}}}}\n",
        "  blue-hq:\n": "  branch: {wan: 198.51.100.10/30, lan: {prefix: 192.168.60.0/24}}\n",
    }
    text = (TOPOLOGIES / "gateway-2012.yml").read_text()
    for place, line in changes.items():
        assert place in text
        text = text.replace(place, line + place, 1)
    path = tmp_path / "two.yml"
    path.write_text(text)
    assert resolve(load(path)).nodes["branch-gw"].kind is NodeKind.GATEWAY_VM
    branch = changes["  blue-hq:\n"]
    changed = branch.replace("192.168.60.0/24", "192.168.50.128/25")
    path.write_text(text.replace(branch, changed))
    with pytest.raises(InvalidTopologyError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.code == Code.LAN_OVERLAP.code
    assert "192.168.50.128/25 of `branch`, behind `branch-gw`, overlaps 192.168.50.0/24" in problem.message
    assert "`blue-hq`, behind `blue-gw`" in problem.message
    number = 1 + path.read_text().splitlines().index(changed.rstrip())
    assert problem.place == f"{path}:{number}"
    assert problem.hint == Code.LAN_OVERLAP.remedy


@pytest.mark.parametrize(
    ("network", "site"), [("192.168.60", "blue-mpls"), ("192.168.70", "blue-dc")], ids=["gre", "l3"]
)
def test_no_part_of_a_site_without_ipsec_comes_up_in_the_cloud(
    tmp_path: Path, network: str, site: str
) -> None:
    """Nobody there would tell the LAN, or answer for what has gone."""
    subnet = "      gateway: {vsid: 5002, prefix: 10.0.2.0/29}\n"
    recovered = f"      recovered: {{vsid: 5999, prefix: {network}.8/29}}\n"
    said = refusals(tmp_path, "connections", subnet, subnet + recovered)
    assert f"{network}.0/24 of `{site}` overlaps {network}.8/29 of subnet `recovered`" in said


def test_a_site_with_static_routes_may_lose_a_part_to_the_cloud(tmp_path: Path) -> None:
    text = (TOPOLOGIES / "dr-service-failed-over.yml").read_text()
    secret = "shared-secret: blue-keeps-its-secrets"
    path = tmp_path / "static.yml"
    routes = f"{secret}, routes: {{192.168.50.0/24: 10}}"
    path.write_text(text.replace("    asn: 64521\n", "").replace(secret, routes))
    node = resolve(load(path)).nodes["blue-hq"]
    assert node.site is not None
    assert "192.168.50.8/29" in node.site.cloud
    assert node.interface_sysctls["net.ipv4.conf.lan0.proxy_arp"] == "1"

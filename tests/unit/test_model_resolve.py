"""Resolution: every address, name and link that the file leaves open, decided by rule."""

from __future__ import annotations

import os
from collections import Counter
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.defaults import default_mac
from lab.model.document import parse
from lab.model.lab import Lab, NodeKind, SiteConfig
from lab.model.loader import load, parse_topology
from lab.model.names import MAX_INTERFACE_NAME, interface_name
from lab.model.resolve import resolve

ROOT = Path(__file__).parents[2]
HYBRID_CLOUD = ROOT / "topologies" / "hybrid-cloud.yml"
VALID = (ROOT / "tests" / "golden" / "topology_small.yml").read_text()
GOLDEN = ROOT / "tests" / "golden" / "topology_hybrid-cloud.txt"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return resolve(load(HYBRID_CLOUD))


def small(old: str = "", new: str = "") -> Lab:
    """The small lab of the validation tests, with one thing changed."""
    assert old in VALID
    return resolve(parse_topology(VALID.replace(old, new, 1), "lab.yml", Path("/nowhere")))


def described(lab: Lab) -> str:
    """A lab as lines that a reader can check by hand."""
    lines = [f"lab {lab.name}"]
    for node in lab.nodes.values():
        lines.append(f"{node.kind} {node.name} image={node.image}")
        lines += [f"  bridge {bridge.name} mtu={bridge.mtu}" for bridge in node.bridges]
        lines += [f"  address {item.interface} {item.address}" for item in node.addresses]
        lines += [f"  route {route.destination} via {route.via}" for route in node.routes]
        lines += [f"  sysctl {key}={value}" for key, value in node.sysctls.items()]
        lines += [f"  interface sysctl {key}={value}" for key, value in node.interface_sysctls.items()]
        lines += [f"  dns {address}" for address in node.dns]
        lines += [f"  file {to} from {os.path.relpath(source, ROOT)}" for to, source in node.files.items()]
        lines += [f"  command {' '.join(node.command)}"] if node.command else []
        lines += [f"  site {node.site.to_json()}"] if node.site else []
        lines += [f"  edge {node.edge.to_json()}"] if node.edge else []
        lines += [f"  router {node.router.to_json()}"] if node.router else []
    for link in lab.links:
        ends = (
            f"{end.node}:{end.interface} mtu={end.mtu}"
            + (f" bridge={end.bridge}" if end.bridge else "")
            + (f" mac={end.mac}" if end.mac else "")
            + (f" alias={end.alias}" if end.alias else "")
            for end in link.ends
        )
        lines.append("link " + " -- ".join(ends))
    return "\n".join(lines) + "\n"


def test_the_hybrid_cloud_resolves_to_what_was_checked_by_hand(lab: Lab) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(described(lab))
    assert described(lab) == GOLDEN.read_text(), "UPDATE_GOLDEN=1 rewrites the file; then read its difference"


def test_the_same_file_gives_the_same_lab(lab: Lab) -> None:
    assert resolve(load(HYBRID_CLOUD)) == lab


def test_no_interface_is_made_twice_and_every_name_fits(lab: Lab) -> None:
    made = Counter((node.name, name) for node in lab.nodes.values() for name in node.interfaces)
    assert [key for key, count in made.items() if count > 1] == []
    assert all(len(name) <= MAX_INTERFACE_NAME for _, name in made)


def test_every_address_is_on_an_interface_and_on_one_segment_once(lab: Lab) -> None:
    for node in lab.nodes.values():
        assert {item.interface for item in node.addresses} <= set(node.interfaces)
    fabric_kinds = set(NodeKind) - {NodeKind.VM, NodeKind.SERVER, NodeKind.SITE}
    fabric = [
        item.address.ip for node in lab.nodes.values() if node.kind in fabric_kinds for item in node.addresses
    ]
    assert len(fabric) == len(set(fabric))


def test_every_route_leads_to_a_neighbour(lab: Lab) -> None:
    everything = {item.address.ip for node in lab.nodes.values() for item in node.addresses}
    distributed = {subnet.router for tenant in lab.tenants for subnet in tenant.subnets}
    for node in lab.nodes.values():
        for route in node.routes:
            assert any(route.via in item.address.network for item in node.addresses), (node.name, route)
            assert route.via in everything | distributed


def test_the_router_keeps_management_and_provider_network_to_themselves(lab: Lab) -> None:
    tor = lab.nodes["tor"]
    forwarding = {key.split(".")[3] for key, value in tor.interface_sysctls.items() if "forwarding" in key}
    assert tor.sysctls["net.ipv4.ip_forward"] == "0"
    assert forwarding == {"br-fe", "inet0"}
    inner = (lab.fabric.management.prefix, lab.fabric.provider.prefix)
    known = [route.destination for route in lab.nodes["internet"].routes]
    assert not any(network.overlaps(route) for network in inner for route in known)


def test_a_vport_carries_the_name_of_its_resource(lab: Lab) -> None:
    (link,) = lab.links_of("blue-web")
    host, vm = link.ends
    assert (host.node, host.interface, host.alias) == ("hv01", "v-blue-web", "hnvlab:hybrid-cloud:blue-web")
    assert (vm.interface, vm.mac, vm.mtu) == ("eth0", "00:15:5d:0a:00:04", 1500)


def test_front_end_addresses_go_around_the_vip() -> None:
    lab = small("vip: 203.0.113.10", "vip: 203.0.113.2")
    on_front_end = [item.address for item in lab.nodes["gw01"].addresses if item.interface == "fe0"]
    assert on_front_end == [IPv4Interface("203.0.113.3/24"), IPv4Interface("203.0.113.2/32")]


def test_the_internet_takes_the_other_address_of_a_site() -> None:
    lab = small("wan: 198.51.100.2/30", "wan: 198.51.100.1/30")
    assert lab.nodes["blue-hq"].routes[0].via == IPv4Address("198.51.100.2")


def test_what_the_file_leaves_open_is_decided() -> None:
    lab = small("    routing-domain: 5d0c4d4a-0b1e-4000-8000-0000000000b1\n", "")
    assert len(lab.tenant("blue").routing_domain) == 36
    assert lab.tenant("blue").routing_domain != lab.tenant("red").routing_domain
    vm = small(", mac: 00-15-5D-0A-00-05", "").tenant("blue").vms[1]
    assert vm.mac == "00:15:5d:00:00:05"
    with pytest.raises(KeyError):
        lab.tenant("green")


def test_a_site_knows_its_tenant(lab: Lab, tmp_path: Path) -> None:
    site = lab.nodes["red-hq"].site
    assert site is not None
    assert (site.vip, site.wan_address, site.compartment_address) == (
        "203.0.113.10",
        "198.51.100.6",
        "10.0.2.2",
    )
    assert (site.shared_secret, site.local_asn, site.peer_asn) == ("red-keeps-its-own", 64521, 64512)
    (tmp_path / "site.json").write_text(site.to_json())
    assert SiteConfig.load(tmp_path / "site.json") == site


def test_files_are_relative_to_the_topology(lab: Lab) -> None:
    assert lab.nodes["blue-web"].files["/srv/web.py"] == ROOT / "topologies" / "hybrid-cloud" / "web.py"


@settings(deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63))
def test_interface_names_fit_and_stay_apart(name: str) -> None:
    short, other = interface_name("v-", name), interface_name("v-", name[:-1] + "!")
    assert len(short) <= MAX_INTERFACE_NAME
    assert short.startswith("v-")
    assert short != other


@settings(deadline=None)
@given(st.integers(min_value=1 << 24, max_value=(224 << 24) - 1))
def test_default_macs_are_hyper_v_s_and_follow_the_address(number: int) -> None:
    address = IPv4Address(number)
    mac = default_mac(address)
    assert mac.startswith("00:15:5d:")
    assert default_mac(address + 1) != mac
    assert len(mac) == 17


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    document = parse(text)
    assert isinstance(document.data, dict) or document.findings

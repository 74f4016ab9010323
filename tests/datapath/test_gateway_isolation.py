"""What a tenant sees, reaches and can pretend on a gateway that others with its addresses share."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Dot1Q, Ether

from gwnode.connections.wanted import leg_name
from gwnode.netns import Namespace
from lab.datapath.front_end import GreLeg
from lab.testing.eventually import eventually

from .bgp_speaker import Kind as Message
from .bgp_speaker import message, opening, speaking, update
from .gateway_world import VIP
from .guests import EDGE_ADDRESS, GRE_VIP, LEG_ADDRESS, SITE, SITE_ASN, VM, Guest, Kind
from .many_world import ManyWorld, many_world

pytestmark = pytest.mark.root

GUESTS = [Guest(kind, number, bgp=kind is Kind.L3) for kind in Kind for number in (1, 2)]
TUNNELLED = [guest for guest in GUESTS if guest.kind is not Kind.NAT]
DEVICES = {Kind.IPSEC: "ipsec-hq", Kind.GRE: "gre-hq", Kind.L3: "vlan-hq", Kind.NAT: "nat-hq"}
FAR = {Kind.IPSEC: "dev ipsec0", Kind.GRE: "dev tunnel0", Kind.L3: f"via {LEG_ADDRESS}"}
NODE = ("203.0.113.5", VIP, GRE_VIP)
UP_S = 30
OTHER = "192.168.50.11"
"""A second machine of a site."""
STRANGE = "10.0.0.99"
"""An address of the VM network that no VM has."""
by_name = pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
tunnelled = pytest.mark.parametrize("guest", TUNNELLED, ids=lambda guest: guest.name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyWorld]:
    with many_world(tmp_path_factory.mktemp("isolated"), GUESTS) as made:
        made.serve(*GUESTS)
        eventually(lambda: made.connected(GUESTS), UP_S)
        for guest in GUESTS:
            assert made.pings(f"vm-{guest.name}", guest.target), guest
            mark(made, guest)
        yield made


def port(guest: Guest) -> int:
    """A number that only this tenant's traffic has."""
    return 7000 + GUESTS.index(guest)


def mark(world: ManyWorld, guest: Guest) -> None:
    """A datagram by which the tenant's flow is known wherever it is tracked."""
    space = Namespace(world.path(f"vm-{guest.name}"))
    with space.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.sendto(b"mark", (guest.target, port(guest)))


def spaces(guest: Guest) -> list[str]:
    """The tenant's namespaces on the gateway."""
    return [guest.name, guest.unit] if guest.kind is Kind.IPSEC else [guest.name]


def everything(world: ManyWorld, space: str) -> str:
    """All that the kernel tells in a namespace."""
    looks = (
        ("ip", "-d", "link"),
        ("ip", "address"),
        ("ip", "route", "show", "table", "all"),
        ("ip", "rule"),
        ("ip", "neighbour"),
        ("nft", "list", "ruleset"),
        ("ss", "-anp"),
        ("cat", "/proc/net/nf_conntrack"),
    )
    return "\n".join(world.inside(space, *words).stdout for words in looks)


def known_by(guest: Guest) -> list[str]:
    """What a tenant is known by, and no other."""
    leg = leg_name(guest.name, "hq", "forwarding" if guest.kind is Kind.L3 else guest.kind)
    words = [guest.name, guest.rdid, leg, f"dport={port(guest)}"]
    words += {
        Kind.IPSEC: [f"{guest.peer}"],
        Kind.GRE: [guest.peer],
        Kind.L3: [],
        Kind.NAT: [guest.public],
    }[guest.kind]
    return words


@by_name
def test_nothing_of_another_tenant_can_be_seen(world: ManyWorld, guest: Guest) -> None:
    assert f"dport={port(guest)}" in everything(world, guest.name)
    for space in spaces(guest):
        told = everything(world, space)
        seen = [word for other in GUESTS if other != guest for word in known_by(other) if _has(told, word)]
        assert seen == [], space


def _has(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", text) is not None


@by_name
def test_a_compartment_has_its_own_interfaces_and_routes_alone(world: ManyWorld, guest: Guest) -> None:
    device = DEVICES[guest.kind]
    links = re.findall(r"^\d+: ([\w-]+)", world.inside(guest.name, "ip", "-o", "link").stdout, re.M)
    assert links == ["lo", "hnv0", device]
    routes = {line.split()[0] for line in world.inside(guest.name, "ip", "route").stdout.splitlines()}
    outside = {Kind.NAT: {"default"}, Kind.L3: {"10.127.134.0/24", "192.168.50.0/24"}}
    transit = {item for item in routes if item.startswith("100.64.")}
    assert len(transit) <= (1 if guest.kind is Kind.NAT else 0)
    wanted = outside.get(guest.kind, {"192.168.50.0/24"})
    assert routes - transit == {"10.0.2.0/29", "10.0.0.0/24", *wanted}


def test_a_charon_has_its_own_sas_alone(world: ManyWorld) -> None:
    for guest in (item for item in GUESTS if item.kind is Kind.IPSEC):
        uri = f"unix://{world.folder}/gateway/state/{guest.unit}.vici"
        words = ["swanctl", "--list-sas", "--uri", uri]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"198\.51\.100\.\d+", told)) == {guest.peer}


def transit_addresses(world: ManyWorld) -> list[str]:
    """Of all legs, both ends."""
    told = world.run("gateway", "ip", "-o", "-4", "address").stdout
    outer = re.findall(r"inet (100\.64\.\d+\.\d+)/31", told)
    assert outer
    return [str(address) for one in outer for address in (IPv4Address(one), IPv4Address(one) + 1)]


@contextmanager
def routed(space: Path, targets: list[str], way: str) -> Iterator[None]:
    """With a way to some addresses that a namespace does not have."""
    enter = ("nsenter", f"--net={space}", "ip", "-batch", "-")
    for verb in ("replace", "del"):
        lines = "\n".join(f"route {verb} {target}/32 {way}" for target in targets)
        subprocess.run(enter, input=lines, text=True, check=True, capture_output=True)
        if verb == "replace":
            yield


def answering(space: Path, targets: list[str]) -> list[str]:
    """Those that answer a ping; all are asked at once."""
    words = ("nsenter", f"--net={space}", "ping", "-c2", "-i0.2", "-W1")
    asked = {
        target: subprocess.Popen((*words, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for target in targets
    }
    return [target for target, process in asked.items() if process.wait(10) == 0]


@by_name
def test_the_node_and_others_legs_are_reached_from_no_compartment(world: ManyWorld, guest: Guest) -> None:
    """Even if who took it over sets the routes for it."""
    told = world.inside(guest.name, "ip", "-o", "-4", "address").stdout
    own = re.findall(r"inet ([\d.]+)/", told)
    others = [item for item in (*NODE, "10.60.0.5", *transit_addresses(world)) if item not in own]
    space = world.folder / "compartments" / guest.name
    way = f"dev {DEVICES[guest.kind]}"
    with routed(space, others, way):
        assert answering(space, others) == []


@tunnelled
def test_the_node_and_others_legs_are_reached_through_no_tunnel(world: ManyWorld, guest: Guest) -> None:
    targets = [*NODE, "10.60.0.5", *transit_addresses(world)]
    if guest.kind is Kind.IPSEC:
        # The tunnel's own other end stays outside of it.
        targets.remove(VIP)
    space = world.path(guest.outside)
    with routed(space, targets, f"{FAR[guest.kind]} src {SITE}"):
        assert answering(space, targets) == []
    world.connected([guest])


# -- forgery ---


@contextmanager
def overheard(world: ManyWorld, *wanted: Guest) -> Iterator[dict[str, socket.socket]]:
    """What arrives at tenants' VMs, from the IP header on."""
    with ExitStack() as stack:
        sockets = {}
        for guest in wanted:
            words = (socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            made = Namespace(world.path(f"vm-{guest.name}")).run(partial(socket.socket, *words))
            stack.enter_context(made)
            made.bind(("eth0", 0x0800))
            made.settimeout(5)
            sockets[guest.name] = made
        yield sockets


def sources_until(listening: socket.socket, last: str) -> list[str]:
    """Senders of the echo requests that arrived before that of `last`: what comes late is no excuse."""
    found: list[str] = []
    while not found or found[-1] != last:
        packet, (_, _, kind, _, _) = listening.recvfrom(65536)
        head = (packet[0] & 15) * 4
        if kind != socket.PACKET_OUTGOING and packet[9] == 1 and packet[head] == 8:
            found.append(socket.inet_ntoa(packet[12:16]))
    return found


@tunnelled
def test_a_site_cannot_send_from_an_address_of_the_vm_network(world: ManyWorld, guest: Guest) -> None:
    site = guest.outside
    world.run(site, "ip", "address", "add", f"{STRANGE}/32", "dev", "lo")
    try:
        with overheard(world, guest) as heard:
            world.run(site, "ping", "-c3", "-i0.02", "-W0.2", "-I", STRANGE, VM, check=False)
            assert world.pings(site, VM)
            assert sources_until(heard[f"{guest.name}"], SITE) == [SITE]
    finally:
        world.run(site, "ip", "address", "del", f"{STRANGE}/32", "dev", "lo")


def test_a_tunnel_with_anothers_key_leads_nowhere(world: ManyWorld) -> None:
    one, other = (guest for guest in GUESTS if guest.kind is Kind.GRE)
    right = world.legs[one.name]
    assert isinstance(right, GreLeg)
    with overheard(world, one, other) as heard:
        world.legs[one.name] = replace(right, key=other.key)
        try:
            world.serve_far()
            assert not world.pings(one.outside, VM)
        finally:
            world.legs[one.name] = right
            world.serve_far()
        for guest in (one, other):
            # From another address than the forger's ping.
            world.run(guest.outside, "ip", "address", "add", f"{OTHER}/32", "dev", "lo")
            world.run(guest.outside, "ping", "-c1", "-W2", "-I", OTHER, VM)
            assert sources_until(heard[guest.name], OTHER) == [OTHER]


def test_a_frame_with_anothers_vlan_tag_leads_nowhere(world: ManyWorld) -> None:
    one, other = (guest for guest in GUESTS if guest.kind is Kind.L3)
    for destination in (mac_of(world, other), mac_of(world, one), "ff:ff:ff:ff:ff:ff"):
        packet = IP(src=EDGE_ADDRESS, dst=VM) / ICMP(id=77, seq=1)
        frame = Ether(dst=destination) / Dot1Q(vlan=other.vlan) / packet
        with overheard(world, one, other) as heard:
            space = Namespace(world.path(one.outside))
            words = (socket.AF_PACKET, socket.SOCK_RAW)
            with space.run(partial(socket.socket, *words)) as raw:
                raw.bind(("vlan0", 0))
                raw.send(bytes(frame))
            for guest in (one, other):
                assert world.pings(guest.outside, VM)
                assert sources_until(heard[guest.name], SITE) == [SITE]


def mac_of(world: ManyWorld, guest: Guest) -> str:
    """Of the compartment, in its VLAN."""
    told = world.inside(guest.name, "ip", "-br", "link", "show", "vlan-hq").stdout
    return told.split()[2]


def test_what_a_site_may_not_offer_it_does_not_get_through_with(world: ManyWorld) -> None:
    """A part of the VM network, everything, the provider's, the front end, a leg, a VM's address."""
    one, other = (guest for guest in GUESTS if guest.kind is Kind.L3)
    wrong = ["10.0.0.0/25", "10.0.0.4/32", "0.0.0.0/0", "10.60.0.0/24", "203.0.113.0/24", "100.64.0.2/31"]
    wrong += ["10.0.2.0/29", "127.0.0.0/8", f"{VIP}/32"]
    good = "192.168.66.0/24"
    before = world.inside(other.name, "ip", "route").stdout

    def only_good() -> None:
        found = {item["rdid"]: item.get("routes", []) for item in world.report().get("learned_routes", [])}
        assert [route["prefix"] for route in found[one.rdid]] == [good]
        assert found[other.rdid] == []

    with world.quiet(*GUESTS), speaking(world.path(one.outside), SITE) as speaker:
        assert speaker.hear()[0] == Message.OPEN
        prefixes = [IPv4Network(prefix) for prefix in (*wrong, good)]
        speaker.say(opening(SITE_ASN, SITE), message(Message.KEEPALIVE), update(SITE_ASN, SITE, prefixes))
        eventually(only_good, UP_S)
        assert world.inside(other.name, "ip", "route").stdout == before
        routes = world.inside(one.name, "ip", "route").stdout
        assert re.findall(r"^(\S+) .*proto bird", routes, re.M) == [good]

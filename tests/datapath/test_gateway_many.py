"""A hundred tenants on one gateway: every kind of connection, and the same addresses for all."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gwnode.netns import Namespace
from lab.datapath import front_end_abi as fe
from lab.datapath.legs import MAKE_ORDER
from lab.datapath.maps import Map
from lab.datapath.pins import map_pins
from lab.testing.eventually import eventually

from .gateway_world import World
from .guests import PORT, SERVER, SITE, VM, Guest, Kind, guests
from .many_world import ManyWorld, in_parallel, many_world
from .probe import ping
from .responders import Responders, ask

pytestmark = pytest.mark.root

GUESTS = guests(ipsec=20, gre=30, l3=30, nat=20)
UP_S = 60
ROUTER = "203.0.113.1"
"""The internet's own on the front-end network."""
PARALLEL = 4
LOST_TRIES = 3
"""A machine with more work than processors may lose a datagram; a path that does not work loses all."""


@dataclass
class Built:
    """The running world.

    Attributes:
        apply_s: how long the agent took to set up all tenants.
    """

    world: ManyWorld
    responders: Responders
    apply_s: float

    def serve(self, *wanted: Guest) -> None:
        """Servers of VMs and sites."""
        for guest in wanted:
            self.responders.add(f"vm-{guest.name}", self.world.path(f"vm-{guest.name}"), VM, PORT)
            if guest.kind is not Kind.NAT:
                self.responders.add(guest.outside, self.world.path(guest.outside), SITE, PORT)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with many_world(tmp_path_factory.mktemp("many"), GUESTS) as world, Responders() as responders:
        apply_s = world.serve(*GUESTS)
        result = Built(world, responders, apply_s)
        responders.add("internet", world.path("internet"), SERVER, PORT)
        result.serve(*GUESTS)
        eventually(lambda: world.connected(GUESTS), UP_S)
        yield result


def answers(world: World, name: str, target: tuple[str, int], kind: socket.SocketKind, size: int) -> str:
    """Who answers to all that was sent; whom he sees."""
    for left in reversed(range(LOST_TRIES)):
        try:
            answer = ask(world.path(name), target, kind, size, within_s=3)
        except TimeoutError:
            if not left:
                raise
        else:
            assert answer.octets == size
            return f"{answer.name} sees {answer.seen}"
    raise AssertionError


def carries_everything(world: ManyWorld, guest: Guest) -> None:
    """TCP and UDP both ways, ICMP both ways where no translation stands between."""
    machine = f"vm-{guest.name}"
    seen_inside, seen_outside = SITE, VM
    if guest.kind is Kind.NAT:
        seen_inside, seen_outside = ROUTER, guest.public
    for kind, size in ((socket.SOCK_STREAM, 20_000), (socket.SOCK_DGRAM, 1_000)):
        out = answers(world, machine, (guest.target, PORT), kind, size)
        assert out == f"{guest.outside} sees {seen_outside}", guest
        back = answers(world, guest.outside, guest.published, kind, size)
        assert back == f"{machine} sees {seen_inside}", guest
    assert pings(world, machine, guest.target), guest
    if guest.kind is not Kind.NAT:
        assert pings(world, guest.outside, VM), guest


def pings(world: ManyWorld, name: str, target: str) -> bool:
    """Whether ICMP gets there and back, by plain sockets: no process for each."""
    space = Namespace(world.path(name))
    return any(space.run(lambda: ping(target)) is not None for _ in range(LOST_TRIES))


def test_a_hundred_tenants_with_the_same_addresses_carry_everything(built: Built) -> None:
    assert len(GUESTS) == 100
    in_parallel(PARALLEL, lambda guest: carries_everything(built.world, guest), GUESTS)


def sample() -> list[Guest]:
    """The first and the last of each kind."""
    return [[guest for guest in GUESTS if guest.kind is kind][end] for kind in Kind for end in (0, -1)]


def snapshot(world: ManyWorld) -> dict[str, set[str]]:
    """All that the gateway has, by where it was found, without what changes by itself."""
    looks = {
        "links": ("ip", "-br", "link"),
        "addresses": ("ip", "-br", "address"),
        "routes": ("ip", "route", "show", "table", "all"),
        "rules": ("ip", "rule"),
        "proxies": ("ip", "neighbour", "show", "proxy"),
        "nft": ("nft", "list", "ruleset"),
    }
    found = {name: _lines(world.run("gateway", *words).stdout) for name, words in looks.items()}
    gateway = world.folder / "gateway"
    found["files"] = {str(path.relative_to(gateway)) for path in gateway.rglob("*")}
    found["namespaces"] = {path.name for path in (world.folder / "compartments").iterdir()}
    for name in MAKE_ORDER:
        found[name] = {key.hex() for key in Map.pinned(map_pins(world.pins) / name).items()}
    counted = Map.pinned(map_pins(world.pins) / fe.COUNTERS).items()
    found["counted"] = {str(fe.CounterKey.from_buffer_copy(key).ifindex) for key in counted}
    found["processes"] = _processes(str(gateway))
    return found


def _lines(text: str) -> set[str]:
    """Sets are listed in any order. What is cabled to the gateway is none of its own."""
    own = "\n".join(line for line in text.splitlines() if "x-" not in line)
    words = re.sub(r"[,{}]", "\n", own).splitlines()
    return {re.sub(r"\s+", " ", word).strip() for word in words}


def _processes(folder: str) -> set[str]:
    """Command lines that speak of a folder."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            line += (path / "environ").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found |= set(re.findall(rf"{re.escape(folder)}/\S+", line))
    return found


def unknown(world: ManyWorld, guest: Guest) -> None:
    """Assert that nothing of a tenant's connection is tracked or resolved any more."""
    tracked = world.run("gateway", "cat", "/proc/net/nf_conntrack").stdout
    assert guest.peer not in tracked
    assert guest.public not in tracked
    assert guest.rdid not in world.states()


@pytest.mark.parametrize("kind", Kind)
def test_one_more_tenant_disturbs_nobody_and_leaves_nothing(built: Built, kind: Kind) -> None:
    world = built.world
    guest = Guest(kind, 40)
    world.plug(guest)
    try:
        before = snapshot(world)
        with world.quiet(*sample()):
            world.serve(*GUESTS, guest)
            built.serve(guest)
            eventually(lambda: world.connected([guest]), UP_S)
            carries_everything(world, guest)
            assert snapshot(world) != before
            world.serve(*GUESTS)
        eventually(lambda: unknown(world, guest), UP_S)
        after = snapshot(world)
        assert {name: after[name] ^ before[name] for name in before if after[name] != before[name]} == {}
    finally:
        built.responders.remove(f"vm-{guest.name}")
        if kind is not Kind.NAT:
            built.responders.remove(guest.outside)
        world.unplug(guest)


def test_an_agent_that_starts_again_finds_a_hundred_tenants_and_disturbs_none(built: Built) -> None:
    world = built.world
    before = snapshot(world)
    with world.quiet(*sample()):
        began = time.monotonic()
        world.restart_agent(*GUESTS)
        eventually(lambda: world.connected(GUESTS), UP_S)
        assert time.monotonic() - began < UP_S
    after = snapshot(world)
    assert {name: after[name] ^ before[name] for name in before if after[name] != before[name]} == {}


def pss_kib(world: ManyWorld, *words: str) -> list[int]:
    """Memory of each process of the gateway's whose command or environment has these words, in KiB."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
            if str(world.folder / "gateway").encode() in line and all(w.encode() in line for w in words):
                rolled = (path / "smaps_rollup").read_text()
                found.append(int(re.search(r"^Pss:\s+(\d+)", rolled, re.M)[1]))  # type: ignore[index]
        except OSError:
            continue
    return found


def test_what_a_tenant_costs(built: Built) -> None:
    """A tenant without IPsec has no process of its own."""
    world = built.world
    charons = pss_kib(world, "STRONGSWAN_CONF")
    agent = pss_kib(world, "gateway_driver.py")
    print(
        f"\n{len(GUESTS)} tenants set up in {built.apply_s:.1f} s;"
        f" {sum(charons) // max(1, len(charons))} KiB for each of {len(charons)} charons;"
        f" {sum(agent)} KiB for the agent"
    )
    assert len(charons) == sum(guest.kind is Kind.IPSEC for guest in GUESTS)
    assert sum(agent) < 200_000

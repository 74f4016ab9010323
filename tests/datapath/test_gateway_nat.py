"""NAT connections of two tenants with the same addresses: real packets through real translation."""

from __future__ import annotations

import errno
import json
import re
import socket
from collections.abc import Iterator

import pytest

from gwnode.nat_sessions import Direction, End
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .nat_world import (
    DNS,
    FIRST_PORT,
    LAST_PORT,
    PARTNER,
    PUBLIC,
    ROUTER,
    SERVER,
    SHELL,
    TENANTS,
    VM1,
    VM2,
    WEB,
    NatWorld,
    nat_world,
    talk,
)

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def built() -> Iterator[NatWorld]:
    with nat_world() as world:
        yield world


@pytest.fixture
def world(built: NatWorld) -> NatWorld:
    """Both tenants with the same mappings."""
    for tenant in TENANTS:
        built.apply(tenant, WEB, DNS, SHELL)
    return built


def test_two_tenants_call_from_one_address_and_are_seen_with_two(world: NatWorld) -> None:
    with (
        world.bound("server", SERVER, 443) as listener,
        world.dialled("vm1-blue", listener, (SERVER, 443), (VM1, 5000)) as (caller, answered, blue),
        world.dialled("vm1-red", listener, (SERVER, 443), (VM1, 5000)) as (_, _, red),
    ):
        assert (blue[0], red[0]) == (PUBLIC["blue"], PUBLIC["red"])
        assert all(FIRST_PORT <= port <= LAST_PORT for port in (blue[1], red[1]))
        talk(caller, answered)


def test_two_vms_with_one_port_get_two(world: NatWorld) -> None:
    with (
        world.bound("server", SERVER, 443) as listener,
        world.dialled("vm1-blue", listener, (SERVER, 443), (VM1, 5000)) as (_, _, first),
        world.dialled("vm2-blue", listener, (SERVER, 443), (VM2, 5000)) as (_, _, second),
    ):
        assert first[0] == second[0] == PUBLIC["blue"]
        assert first[1] != second[1]


def test_udp_and_ping_are_answered_and_errors_come_back(world: NatWorld) -> None:
    with (
        world.bound("server", SERVER, 5353, socket.SOCK_DGRAM) as answering,
        world.open("vm1-blue", socket.SOCK_DGRAM) as asking,
    ):
        asking.sendto(b"who", (SERVER, 5353))
        _, seen = answering.recvfrom(100)
        assert seen[0] == PUBLIC["blue"]
        assert FIRST_PORT <= seen[1] <= LAST_PORT
        answering.sendto(b"me", seen)
        assert asking.recv(100) == b"me"
    assert all(world.pings(f"vm1-{tenant}", SERVER) for tenant in TENANTS)
    with world.open("vm1-blue", socket.SOCK_DGRAM) as asking:
        asking.connect((SERVER, 9))
        asking.send(b"nobody there")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(1)


def test_a_ping_is_known_by_an_identifier_of_the_range(world: NatWorld) -> None:
    assert world.pings("vm1-blue", SERVER)
    (session,) = [s for s in world.sessions("blue") if s.protocol == "icmp" and s.inside.address == VM1][-1:]
    assert session.outside.address == PUBLIC["blue"]
    assert FIRST_PORT <= session.outside.port <= LAST_PORT


def test_what_has_no_ports_does_not_leave(world: NatWorld) -> None:
    """GRE, sent before a datagram that leaves."""
    with (
        world.overheard("gateway", "n-blue") as leg,
        world.open("vm1-blue", socket.SOCK_RAW, 47) as tunnel,
        world.open("vm1-blue", socket.SOCK_DGRAM) as asking,
    ):
        tunnel.sendto(b"\x00\x00\x08\x00", (SERVER, 0))
        asking.sendto(b"later", (SERVER, 9))
        protocols = [leg.recv(2000)[9]]
        assert protocols == [socket.IPPROTO_UDP]


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_mapping_leads_to_its_vm_and_shows_the_caller(world: NatWorld, tenant: str) -> None:
    with (
        world.bound(f"vm1-{tenant}", VM1, 80) as listener,
        world.dialled("server", listener, (PUBLIC[tenant], 8080), (SERVER, 0)) as (_, _, seen),
    ):
        assert seen[0] == SERVER
    with (
        world.bound(f"vm1-{tenant}", VM1, 53, socket.SOCK_DGRAM) as answering,
        world.open("server", socket.SOCK_DGRAM) as asking,
    ):
        asking.connect((PUBLIC[tenant], 53))
        asking.send(b"who")
        text, seen = answering.recvfrom(100)
        assert (text, seen[0]) == (b"who", SERVER)
        answering.sendto(b"me", seen)
        assert asking.recv(100) == b"me"


def test_a_mapping_with_a_remote_prefix_is_closed_to_all_others(world: NatWorld) -> None:
    with world.bound("vm2-blue", VM2, 22) as listener:
        assert world.refused("server", (PUBLIC["blue"], 22), SERVER)
        with world.dialled("server", listener, (PUBLIC["blue"], 22), (PARTNER, 0)) as (_, _, seen):
            assert seen[0] == PARTNER
        # Nor is it open to the tenant's own VMs, which are seen with the public address.
        assert world.refused("vm1-blue", (PUBLIC["blue"], 22))


def test_nothing_unasked_comes_in(world: NatWorld) -> None:
    with world.bound("vm1-blue", "0.0.0.0", 81):
        assert world.refused("server", (PUBLIC["blue"], 81))
        assert world.refused("server", (PUBLIC["blue"], 80))
        assert not world.pings("server", PUBLIC["blue"])
        # Nor what somebody in the default compartment sends to a VM's own address.
        world.at["gateway"].ip(f"route add {VM1}/32 via 100.64.0.1")
        try:
            with world.overheard("vm1-blue", "eth0") as hearing:
                assert world.refused("gateway", (VM1, 81), "203.0.113.5")
                assert socket.inet_aton("203.0.113.5") not in sources(hearing)
        finally:
            world.at["gateway"].ip(f"route del {VM1}/32")


def sources(hearing: socket.socket) -> set[bytes]:
    """Of the packets that have arrived."""
    found = set()
    hearing.settimeout(0)
    while True:
        try:
            found.add(hearing.recv(2000)[12:16])
        except BlockingIOError:
            return found


def test_a_vm_reaches_a_vm_through_the_public_address(world: NatWorld) -> None:
    for caller in ("vm2-blue", "vm1-blue"):
        with (
            world.bound("vm1-blue", VM1, 80) as listener,
            world.dialled(caller, listener, (PUBLIC["blue"], 8080)) as (_, _, seen),
        ):
            assert seen[0] == PUBLIC["blue"]
            assert [s.direction for s in world.sessions("blue") if s.state == "ESTABLISHED"] == [
                Direction.HAIRPIN
            ]


def test_private_destinations_never_leave(world: NatWorld) -> None:
    """The VM is told at once; and the transit network is private, too."""
    for target in ("192.168.50.10", "172.16.0.1", "100.64.0.2", "100.64.0.0"):
        with world.open("vm1-blue") as caller, pytest.raises(OSError, match="unreachable") as refusal:
            caller.connect((target, 80))
        assert refusal.value.errno == errno.ENETUNREACH, target


def test_another_tenants_address_is_reached_by_the_router_only(world: NatWorld) -> None:
    with (
        world.bound("vm1-red", VM1, 80) as listener,
        world.dialled("vm1-blue", listener, (PUBLIC["red"], 8080)) as (_, _, seen),
    ):
        assert seen[0] == PUBLIC["blue"]
    hops = world.at["vm1-blue"].run(f"traceroute -n -N1 -q1 -w1 -m4 -T -p 8080 {PUBLIC['red']}").stdout
    assert re.findall(r"^ *\d+  ([\d.]+)", hops, re.M) == ["10.0.0.1", "10.0.2.2", "100.64.0.0", str(ROUTER)]


def test_a_compartment_reaches_neither_a_leg_nor_the_node(world: NatWorld) -> None:
    """Sent from inside the compartment itself, whatever its own rules say."""
    comp = world.at["comp-blue"]
    comp.run("nft flush ruleset")
    comp.ip(f"address add {PUBLIC['blue']}/32 dev lo")
    try:
        with world.bound("comp-red", "0.0.0.0", 7), world.bound("gateway", "0.0.0.0", 7):
            for target in ("100.64.0.3", "100.64.0.2", "100.64.0.0", "203.0.113.5"):
                for source in ("100.64.0.1", PUBLIC["blue"]):
                    assert world.refused("comp-blue", (target, 7), source), (target, source)
        # Nor anything with another source than its own public address.
        with world.bound("server", SERVER, 5353, socket.SOCK_DGRAM) as hearing:
            for source in ("10.0.2.2", "100.64.0.1", PUBLIC["blue"]):
                with world.bound("comp-blue", source, 5353, socket.SOCK_DGRAM) as speaking:
                    speaking.sendto(source.encode(), (SERVER, 5353))
            assert hearing.recv(100) == PUBLIC["blue"].encode()
    finally:
        comp.ip(f"address del {PUBLIC['blue']}/32 dev lo")


def test_a_change_ends_the_sessions_that_it_concerns_and_no_other(world: NatWorld) -> None:
    with (
        world.bound("server", SERVER, 443) as outside,
        world.bound("vm1-blue", VM1, 80) as web,
        world.bound("vm2-blue", VM2, 22) as shell,
        world.dialled("vm1-blue", outside, (SERVER, 443)) as (out_a, out_b, _),
        world.dialled("server", web, (PUBLIC["blue"], 8080)) as (web_a, web_b, _),
        world.dialled("server", shell, (PUBLIC["blue"], 22), (PARTNER, 0)) as (shell_a, shell_b, _),
    ):
        elsewhere = pb.NatMapping(name="new", protocol="tcp", external_port=25, internal_address=VM2)
        assert world.apply("blue", WEB, DNS, SHELL, elsewhere) == 0
        for ends in ((out_a, out_b), (web_a, web_b), (shell_a, shell_b)):
            talk(*ends)
        assert world.apply("blue", DNS, SHELL) >= 1  # without "web"
        talk(out_a, out_b)
        talk(shell_a, shell_b)
        for end in (web_a, web_b):
            end.sendall(b"lost")
        # Nor is anybody told of a session that it does not know, and resets it.
        for end in (web_a, web_b):
            end.settimeout(0.6)
            with pytest.raises(TimeoutError):
                end.recv(4)
        assert End(VM1, 80) not in [s.inside for s in world.sessions("blue")]
        # A range without the session's port.
        assert world.apply("blue", DNS, SHELL, ports=(50000, 50001)) >= 1
        talk(shell_a, shell_b)
        out_a.sendall(b"lost")
        out_b.settimeout(0.6)
        with pytest.raises(TimeoutError):
            out_b.recv(4)


def test_sessions_are_shown_with_what_they_carried(world: NatWorld) -> None:
    with (
        world.bound("server", SERVER, 444) as listener,
        world.dialled("vm2-blue", listener, (SERVER, 444), (VM2, 5001)) as (_, answered, seen),
        world.bound("vm2-blue", VM2, 22) as shell,
        world.dialled("server", shell, (PUBLIC["blue"], 22), (PARTNER, 7777)),
    ):
        answered.sendall(bytes(100_000))

        def shown() -> None:
            found = [s for s in world.sessions("blue") if s.remote == End(SERVER, 444)]
            assert len(found) == 1
            (session,) = found
            assert (session.direction, session.state) == (Direction.OUTBOUND, "ESTABLISHED")
            assert session.inside == End(VM2, 5001)
            assert session.outside == End(*seen)
            assert session.received is not None
            assert session.sent is not None
            assert session.received.octets > 100_000 > session.sent.octets > 0
            assert session.timeout_s > 1000

        eventually(shown, 5)
        (inbound,) = [s for s in world.sessions("blue") if s.remote == End(PARTNER, 7777)]
        assert inbound.direction is Direction.INBOUND
        assert (inbound.inside, inbound.outside) == (End(VM2, 22), End(PUBLIC["blue"], 22))
        assert json.loads(json.dumps(inbound.to_json()))["inside"] == {"address": VM2, "port": 22}
        assert not [s for s in world.sessions("red") if s.remote in (End(SERVER, 444), End(PARTNER, 7777))]

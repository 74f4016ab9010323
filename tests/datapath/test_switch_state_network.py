"""Access control lists in front of real stacks: connections, datagrams in fragments, errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.datapath.abi import Drop
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record
from lab.testing.eventually import eventually

from .probe import ECHO_REPLY, Answer
from .world import BLUE, World, goal_state, world

pytestmark = pytest.mark.root

TCP = 6
WEB, APPLICATION = "10.0.0.4", "10.0.1.4"
"""bw on h1, which has the list, and ba on h2."""


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    with world((BLUE,)) as built:
        yield built


def rule(*, inbound: bool, deny: bool = True, protocol: int = 0, port: int | None = None) -> pb.AclRule:
    """A rule by destination port; None: any."""
    return pb.AclRule(
        id="r",
        inbound=inbound,
        deny=deny,
        protocol=protocol,
        source_port_last=65535,
        destination_port_first=port or 0,
        destination_port_last=65535 if port is None else port,
    )


def protect(net: World, *rules: pb.AclRule) -> None:
    """Give bw a list of its own."""
    vm = next(vm for vm in BLUE.vms if vm.name == "bw")
    access = record(pb.AccessControlList(id="list", rules=rules))
    port = record(
        pb.Port(
            interface_id=vm.interface_id,
            vsid=vm.vsid,
            customer_address=vm.address,
            mac=vm.mac,
            access_control_lists=["list"],
        )
    )
    goal = goal_state(vm.host, (BLUE,))
    assert port.key in goal
    net.hosts[vm.host].endpoint.apply({**goal, access.key: access, port.key: port})


@contextmanager
def connection(
    net: World, client: str, server: str, address: str
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection, and its server's end of it."""
    with net.vms[server].call(lambda: socket.create_server(("0.0.0.0", 0))) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        here = net.vms[client].call(lambda: socket.create_connection((address, port), timeout=30))
        there, _ = listener.accept()
        there.settimeout(30)
        with here, there:
            yield here, there


def exchange(here: socket.socket, there: socket.socket) -> None:
    """A word in each direction."""
    for sender, receiver in ((here, there), (there, here)):
        sender.sendall(b"word")
        assert receiver.recv(4) == b"word"


def denied(net: World) -> int:
    """Packets that a list has denied on h1."""
    return sum(count for (reason, _, _), count in net.hosts["h1"].counted().items() if reason == Drop.ACL)


def test_what_the_vm_opens_is_answered_though_nothing_may_come_in(net: World) -> None:
    protect(net, rule(inbound=True))
    assert net.ping("ba", WEB, within_s=1) is None
    assert net.ping("bw", APPLICATION) == Answer(APPLICATION, ECHO_REPLY, 0)
    with connection(net, "bw", "ba", APPLICATION) as (here, there):
        exchange(here, there)
    net.transfer("bw", "ba", APPLICATION, 4 << 20)


def test_a_changed_list_keeps_connections_that_it_allows_and_cuts_those_that_it_denies(net: World) -> None:
    protect(net, rule(inbound=True, protocol=TCP, port=1))
    with connection(net, "ba", "bw", WEB) as (here, there):
        port = there.getsockname()[1]
        exchange(here, there)
        protect(net, rule(inbound=True, protocol=TCP, port=port, deny=False), rule(inbound=True))
        exchange(here, there)

        protect(net, rule(inbound=True, protocol=TCP, port=port))
        before = denied(net)
        here.sendall(b"late")
        eventually(lambda: _assert_more(denied(net), before), within_s=30)
        there.sendall(b"back")
        before = denied(net)
        eventually(lambda: _assert_more(denied(net), before), within_s=30)
        for end in (here, there):
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(4)
            end.settimeout(60)

        protect(net, rule(inbound=True, protocol=TCP, port=1))
        assert there.recv(4) == b"late"
        assert here.recv(4) == b"back"


def _assert_more(count: int, before: int) -> None:
    assert count > before


def test_a_datagram_in_fragments_passes_as_its_first_one_does(net: World) -> None:
    with net.vms["ba"].call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as listener:
        listener.bind(("0.0.0.0", 0))
        listener.settimeout(30)
        port = listener.getsockname()[1]
        protect(net, rule(inbound=True))

        def send(text: bytes) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(text, (APPLICATION, port))

        net.vms["bw"].call(lambda: send(b"a" * 4000))
        assert listener.recv(65535) == b"a" * 4000
        protect(net, rule(inbound=False, port=port))
        before = denied(net)
        net.vms["bw"].call(lambda: send(b"b" * 4000))
        assert denied(net) == before + 3, "all three fragments"
        protect(net, rule(inbound=True))
        net.vms["bw"].call(lambda: send(b"c" * 4000))
        assert listener.recv(65535) == b"c" * 4000


def test_each_receiver_of_a_broadcast_has_its_own_list(net: World) -> None:
    with (
        net.vms["bw"].call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as listed,
        net.vms["by"].call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other,
    ):
        listed.bind(("0.0.0.0", 0))
        port = listed.getsockname()[1]
        other.bind(("0.0.0.0", port))
        for end in (listed, other):
            end.settimeout(30)

        def shout(text: bytes) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sender.sendto(text, ("10.0.0.255", port))

        protect(net, rule(inbound=True, port=port))
        before = denied(net)
        net.vms["bx"].call(lambda: shout(b"one"))
        assert other.recv(9) == b"one"
        eventually(lambda: _assert_more(denied(net), before), within_s=30)
        protect(net)
        net.vms["bx"].call(lambda: shout(b"two"))
        assert other.recv(9) == b"two"
        assert listed.recv(9) == b"two", "the one before was denied"


def test_the_vm_hears_that_nobody_listens_though_nothing_may_come_in(net: World) -> None:
    protect(net, rule(inbound=True))

    def knock() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((APPLICATION, 9))
            sender.settimeout(30)
            sender.send(b"x")
            sender.recv(1)

    with pytest.raises(ConnectionRefusedError):
        net.vms["bw"].call(knock)


def test_the_routers_own_words_reach_the_vm_though_nothing_may_come_in(net: World) -> None:
    protect(net, rule(inbound=True))
    assert net.ping("bw", "10.0.0.1") == Answer("10.0.0.1", ECHO_REPLY, 0)
    assert net.ping("bw", "8.8.8.8") == Answer("10.0.0.1", 3, 0)

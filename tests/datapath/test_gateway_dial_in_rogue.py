"""What a road warrior with a right password cannot do: be somebody else, or have more than he is offered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from vici.exception import CommandException

from lab.testing.eventually import eventually

from .dial_in_world import SUBNET, VM, Server, World
from .rogue import Rogue, rogue

pytestmark = pytest.mark.root

UP_S = 30


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Blue's server with bob connected, and room for a rogue who knows alice's password."""
    world = World(tmp_path_factory.mktemp("rogue"), ("bob", "mallory", "trudy"))
    try:
        world.build()
        world.start_server("blue")
        world.by_password("bob", "blue")
        eventually(lambda: reaches(world, "bob"), UP_S)
        yield world
    finally:
        world.close()


@pytest.fixture
def mallory(world: World) -> Iterator[Rogue]:
    """A rogue's charon."""
    with rogue(world, "mallory") as made:
        yield made
    eventually(lambda: gone(world.servers["blue"], "alice"), UP_S)


def connected(server: Server, user: str) -> None:
    assert user in server.users(), server.state


def reaches(world: World, caller: str) -> None:
    assert world.pings(caller, VM), world.seen(caller)


def gone(server: Server, user: str) -> None:
    assert user not in server.users(), server.state


def echoes(world: World) -> int:
    """ICMP echo requests that the VM got."""
    return int(world.run("vm-blue", "nstat", "-asz", "IcmpInEchos").stdout.split()[-2])


def arrived(world: World, count: int) -> None:
    assert echoes(world) == count


def test_a_forged_source_never_comes_out_of_the_tunnel(world: World, mallory: Rogue) -> None:
    server = world.servers["blue"]
    mallory.call("alice")
    eventually(lambda: connected(server, "alice"), UP_S)
    before = echoes(world)
    # What is forged well arrives, so that what does not arrive was refused for its source.
    mallory.forge(server.address("alice"), VM)
    eventually(lambda: arrived(world, before + 3), UP_S)
    for source in (server.address("bob"), "10.0.0.99", "198.51.100.2", "10.99.0.200"):
        mallory.forge(source, VM)
    # And what is forged for where nothing was offered.
    mallory.forge(server.address("alice"), "10.0.2.1")
    mallory.forge(server.address("alice"), server.address("bob"))
    mallory.forge(server.address("alice"), VM)
    eventually(lambda: arrived(world, before + 6), UP_S)


def test_wider_selectors_are_narrowed(world: World, mallory: Rogue) -> None:
    mallory.call("alice", local_ts=["0.0.0.0/0"], remote_ts=["0.0.0.0/0"])
    eventually(lambda: connected(world.servers["blue"], "alice"), UP_S)
    child = mallory.child()
    assert child["local-ts"] == [f"{world.servers['blue'].address('alice')}/32".encode()]
    assert child["remote-ts"] == [str(SUBNET).encode()]


def test_narrower_selectors_are_kept(world: World, mallory: Rogue) -> None:
    """10.0.0.4 is left out of what he asks for."""
    server = world.servers["blue"]
    mallory.call("alice", remote_ts=["10.0.0.0/30"])
    assert mallory.child()["remote-ts"] == [b"10.0.0.0/30"]
    eventually(lambda: connected(server, "alice"), UP_S)
    before = echoes(world)
    mallory.forge(server.address("alice"), VM)
    assert not world.pings("vm-blue", server.address("alice"))
    assert echoes(world) == before


def test_selectors_that_libipsec_cannot_serve_are_named(world: World, mallory: Rogue) -> None:
    """Without the first address of what is offered, which stands for it in charon's namespace."""

    def named() -> None:
        assert "no CHILD_SA for alice" in world.servers["blue"].state.last_error

    with pytest.raises(CommandException):
        mallory.call("alice", remote_ts=["10.0.0.128/25"])
    eventually(named, UP_S)
    assert "alice" not in world.servers["blue"].users()
    assert world.pings("bob", VM)


def test_nobody_gets_an_address_that_another_has(world: World, mallory: Rogue) -> None:
    """Asked for by name; and as a selector."""
    server = world.servers["blue"]
    bob = server.address("bob")
    mallory.call("alice", vips=(bob,))
    eventually(lambda: connected(server, "alice"), UP_S)
    assert server.address("alice") != bob
    mallory.hang_up()
    with pytest.raises(CommandException):
        mallory.call("alice", local_ts=[f"{bob}/32"])
    assert world.pings("bob", VM)


def test_who_asks_for_no_address_is_shown_out(world: World, mallory: Rogue) -> None:
    """His selector would be his public address, and that may be a VM's of this network."""

    def shown_out() -> None:
        assert mallory.sas() == []

    # Whether or not the CHILD_SA stands for a moment: libipsec wants an address of ours in the selector.
    with suppress(CommandException):
        mallory.call("alice", vips=())
    eventually(shown_out, UP_S)
    assert "alice" not in world.servers["blue"].users()


def test_one_user_on_two_machines_has_two_addresses(world: World, mallory: Rogue) -> None:
    """Even if the second asks for the first one's; and neither closes the other's connection."""
    server = world.servers["blue"]
    mallory.call("alice")
    eventually(lambda: connected(server, "alice"), UP_S)

    def both() -> None:
        assert sorted(client.user for client in server.state.clients.values()) == ["alice", "alice", "bob"]

    with rogue(world, "trudy") as trudy:
        trudy.call("alice", vips=(server.address("alice"),))
        eventually(both, UP_S)
        assert trudy.child()["local-ts"] != mallory.child()["local-ts"]
        for machine in (mallory, trudy):
            before = echoes(world)
            machine.forge(machine.child()["local-ts"][0].decode().removesuffix("/32"), VM, count=1)
            eventually(partial(arrived, world, before + 1), UP_S)


def test_rekeying_counts_on(world: World, mallory: Rogue) -> None:
    server = world.servers["blue"]
    mallory.call("alice")
    eventually(lambda: connected(server, "alice"), UP_S)
    address = server.address("alice")

    def counted(least: int) -> None:
        assert server.state.clients[address].tunnel.bytes_in >= least, server.state

    mallory.forge(address, VM, count=10)
    eventually(lambda: counted(280), UP_S)
    first = mallory.child()["spi-out"]
    since = server.state.clients[address].tunnel.since_unix_s
    mallory.rekey()

    def rekeyed() -> None:
        children = [child for sa in mallory.sas() for child in sa["child-sas"].values()]
        assert len(children) == 1, children
        assert children[0]["spi-out"] != first

    eventually(rekeyed, UP_S)
    mallory.forge(address, VM, count=10)
    eventually(lambda: counted(560), UP_S)
    assert server.state.clients[address].tunnel.since_unix_s == since

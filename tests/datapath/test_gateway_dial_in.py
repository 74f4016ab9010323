"""Road warriors call two tenants with the same addresses and the same pool: real charons, in namespaces."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from lab.ipsec import charon
from lab.ipsec.accounting import AccountingKind
from lab.testing.eventually import eventually

from .dial_in_world import DNS, POOL, USERS, VM, Server, World
from .echo import carries

pytestmark = pytest.mark.root

UP_S = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both servers, with alice, bob and a laptop at blue's and carol at red's, where one may call."""
    world = World(tmp_path_factory.mktemp("dial-in"))
    try:
        world.build()
        world.start_server("blue")
        world.start_server("red", maximum=1)
        world.by_password("alice", "blue")
        world.by_password("bob", "blue")
        world.by_certificate("laptop", "blue")
        world.by_password("carol", "red")
        eventually(lambda: all_up(world), UP_S)
        yield world
    finally:
        world.close()


def all_up(world: World) -> None:
    for caller in ("alice", "bob", "laptop", "carol"):
        up(world, caller)
    assert world.servers["blue"].users() == {"alice", "bob", "CN=laptop"}, world.servers["blue"].state
    assert world.servers["red"].users() == {"carol"}, world.servers["red"].state


def up(world: World, caller: str) -> None:
    assert world.seen(caller).get("state") == "Connected", world.seen(caller)
    assert world.pings(caller, VM)


def refused(world: World, caller: str, server: Server, cause: str) -> None:
    assert cause in server.state.last_error, server.state
    assert world.seen(caller).get("state") != "Connected", world.seen(caller)
    assert world.seen(caller).get("last_error"), world.seen(caller)


@pytest.mark.parametrize(("caller", "user"), [("alice", "alice"), ("laptop", "CN=laptop")])
def test_password_and_certificate_carry_everything_both_ways(world: World, caller: str, user: str) -> None:
    address = world.servers["blue"].address(user)
    here, there = world.path(caller), world.path("vm-blue")
    assert world.pings("vm-blue", address)
    for kind, size in ((socket.SOCK_STREAM, 1_000_000), (socket.SOCK_DGRAM, 1200)):
        assert carries(here, there, VM, kind, size) == size
        assert carries(there, here, address, kind, size) == size


def test_callers_get_addresses_routes_and_name_servers(world: World) -> None:
    seen = world.seen("alice")
    assert seen["addresses"] == [world.servers["blue"].address("alice")]
    assert seen["offered"] == ["10.0.0.0/24"]
    assert "10.0.0.0/24 dev ipsec0" in world.run("alice", "ip", "route").stdout
    assert world.resolver("alice").splitlines() == [
        "# by hnvlab",
        f"nameserver {DNS}",
        "search example.net",
        "nameserver 198.51.100.53",
    ]
    addresses = list(world.servers["blue"].state.clients)
    assert len(addresses) == len(set(addresses)) == 3


def test_two_tenants_with_equal_addresses_are_apart(world: World) -> None:
    """carol has an address that one of blue's callers has, too; what each sends comes to his own VM only."""
    carol = world.servers["red"].address("carol")
    assert carol in world.servers["blue"].state.clients
    before = received(world, "vm-blue")
    assert world.pings("carol", VM, "-s", "1000")
    assert received(world, "vm-blue") == before
    before = received(world, "vm-red")
    assert world.pings("alice", VM, "-s", "1000")
    assert received(world, "vm-red") == before
    world.by_password("stranger", "red", "bob", USERS["blue"]["bob"])
    try:
        eventually(lambda: refused(world, "stranger", world.servers["red"], "unknown user bob"), UP_S)
    finally:
        world.hang_up("stranger")


def received(world: World, name: str) -> str:
    """ICMP echo requests that a VM got."""
    return world.run(name, "nstat", "-asz", "IcmpInEchos").stdout


def test_callers_reach_each_other_only_by_their_own_addresses(world: World) -> None:
    """A source that is another caller's, a VM's or nobody's never comes out of the tunnel."""
    bob = world.servers["blue"].address("bob")
    for source in (bob, "10.0.0.99", "198.51.100.2"):
        before = received(world, "vm-blue")
        world.address("alice", "lo", f"{source}/32") if source != "198.51.100.2" else None
        world.run("alice", "ping", "-c2", "-i0.2", "-W0.3", "-I", source, VM, check=False)
        if source != "198.51.100.2":
            world.run("alice", "ip", "address", "del", f"{source}/32", "dev", "lo")
        assert received(world, "vm-blue") == before, source
    assert world.pings("alice", VM)


@pytest.mark.parametrize(
    ("user", "password", "cause"),
    [("alice", "not-the-one", "wrong password of alice"), ("mallory", "x", "unknown user mallory")],
)
def test_a_wrong_user_is_refused_and_harms_nobody(world: World, user: str, password: str, cause: str) -> None:
    server = world.servers["blue"]
    before = server.ids()
    world.by_password("stranger", "blue", user, password)
    try:
        eventually(lambda: refused(world, "stranger", server, cause), UP_S)
    finally:
        world.hang_up("stranger")
    assert server.ids() == before


def test_a_strange_authoritys_certificate_is_refused(world: World) -> None:
    world.by_certificate("stranger", "blue")
    try:
        cause = "untrusted certificate of CN=stranger"
        eventually(lambda: refused(world, "stranger", world.servers["blue"], cause), UP_S)
    finally:
        world.hang_up("stranger")
    all_up(world)


def test_a_caller_trusts_no_gateway_but_his_own(world: World) -> None:
    """The server's certificate is of an authority that the caller does not know."""

    def untrusting() -> None:
        seen = world.seen("stranger")
        assert "authority that is not trusted" in seen.get("last_error", ""), seen

    own = world.identities["stranger"]
    real = world.identities["vpn.blue"]
    world.identities["vpn.blue"] = own
    try:
        world.by_password("stranger", "blue", "alice", "x")
        eventually(untrusting, UP_S)
    finally:
        world.identities["vpn.blue"] = real
        world.hang_up("stranger")


def test_no_more_than_the_maximum_are_connected(world: World) -> None:
    server = world.servers["red"]
    world.by_password("dave", "red")
    try:
        cause = "the maximum of 1 connections is reached: dave was turned away"
        eventually(lambda: refused(world, "dave", server, cause), UP_S)
        assert server.users() == {"carol"}
        # Whoever hangs up makes room.
        world.hang_up("carol")
        eventually(lambda: alone(world, "dave", server), UP_S)
    finally:
        world.hang_up("dave")
        world.by_password("carol", "red")
        eventually(lambda: all_up(world), UP_S)


def alone(world: World, caller: str, server: Server) -> None:
    up(world, caller)
    assert server.users() == {caller}


def test_a_raised_maximum_lets_more_in(world: World) -> None:
    """Who was connected is closed and calls again, as charon does not resize a pool in use."""
    server = world.servers["red"]
    before = server.desired

    def both() -> None:
        up(world, "carol")
        up(world, "dave")
        assert server.users() == {"carol", "dave"}
        assert server.state.last_error == "" or "maximum of 1" in server.state.last_error

    server.apply(replace(before, maximum=2))
    try:
        world.by_password("dave", "red")
        eventually(both, UP_S)
    finally:
        world.hang_up("dave")
        server.apply(before)
        eventually(lambda: all_up(world), UP_S)


def test_new_name_servers_disturb_nobody_and_are_told_to_the_next(world: World) -> None:
    server = world.servers["blue"]
    before, ids = server.desired, server.ids()

    def told() -> None:
        assert world.seen("stranger").get("name_servers") == ["10.0.0.54"], world.seen("stranger")

    server.apply(replace(before, dns=(IPv4Address("10.0.0.54"),)))
    try:
        world.by_password("stranger", "blue", "alice")
        eventually(told, UP_S)
        assert server.ids().items() >= {(user, child) for user, child in ids.items() if user != "alice"}
        assert ids["alice"] in [",".join(c.tunnel.children) for c in server.state.clients.values()]
    finally:
        world.hang_up("stranger")
        server.apply(before)
        eventually(lambda: all_up(world), UP_S)


def test_traffic_is_counted_and_accounted(world: World) -> None:
    server = world.servers["blue"]
    address = server.address("bob")
    start = next(record for record in server.records if record.user == "bob")
    assert (start.kind, start.address, start.source) == (AccountingKind.START, address, "198.51.100.6")
    before = server.state.clients[address].tunnel
    carries(world.path("bob"), world.path("vm-blue"), VM, socket.SOCK_STREAM, 500_000)

    def counted() -> None:
        after = server.state.clients[address].tunnel
        for count in (after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out):
            assert 500_000 <= count <= 600_000, count
        interim = [r for r in server.records if r.user == "bob" and r.kind is AccountingKind.INTERIM]
        assert interim[-1].bytes_in >= 500_000, interim[-1]

    eventually(counted, UP_S)
    total = server.state.bytes_in
    world.hang_up("bob")

    def stopped() -> None:
        last = [record for record in server.records if record.user == "bob"][-1]
        assert last.kind is AccountingKind.STOP, last
        assert last.bytes_in >= 500_000
        assert "bob" not in server.users()

    eventually(stopped, UP_S)
    assert server.state.bytes_in >= total
    world.by_password("bob", "blue")
    eventually(lambda: all_up(world), UP_S)


def test_a_caller_whose_agent_ends_has_his_own_name_servers_again(world: World) -> None:
    world.end_service("bob", "run")
    assert world.resolver("bob") == "search example.net\nnameserver 198.51.100.53\n"
    assert "10.0.0.0/24" not in world.run("bob", "ip", "route").stdout
    world.hang_up("bob")
    world.by_password("bob", "blue")
    eventually(lambda: all_up(world), UP_S)


def test_a_changed_list_of_users_disturbs_only_who_is_gone(world: World) -> None:
    server = world.servers["blue"]
    everybody = server.desired
    before = server.ids()
    del before["bob"]
    server.apply(replace(everybody, users={"alice": "a-new-one", "erin": "blue-erin"}))
    try:
        eventually(lambda: refused(world, "bob", server, "unknown user bob"), UP_S)
        eventually(lambda: are_connected(server, before), UP_S)
        assert world.pings("alice", VM)
    finally:
        server.apply(everybody)
        eventually(lambda: all_up(world), UP_S)
    assert server.ids().items() >= before.items()


def test_an_agent_that_starts_again_disturbs_nobody_but_who_is_gone(world: World) -> None:
    server = world.servers["blue"]
    everybody, before = server.desired, server.ids()
    server.stop_driver()
    assert world.pings("alice", VM)
    server.start_driver()
    eventually(lambda: all_up(world), UP_S)
    assert server.ids() == before
    server.stop_driver()
    server.desired = replace(everybody, users={"alice": "blue-alice"})
    server.start_driver()
    try:
        del before["bob"]
        eventually(lambda: are_connected(server, before), UP_S)
        eventually(lambda: refused(world, "bob", server, "unknown user bob"), UP_S)
        are_connected(server, before)
    finally:
        server.apply(everybody)
        eventually(lambda: all_up(world), UP_S)


def test_a_pool_that_changed_while_no_agent_ran_counts(world: World) -> None:
    server = world.servers["blue"]
    before, everybody, other = server.desired, server.users(), IPv4Network("10.98.0.0/24")

    def moved() -> None:
        assert server.state.listening
        assert "pool" not in server.state.last_error
        assert server.users() == everybody
        assert all(IPv4Address(address) in server.desired.pool for address in server.state.clients)

    for pool in (other, before.pool):
        server.stop_driver()
        server.desired = replace(before, pool=pool)
        server.start_driver()
        eventually(moved, UP_S)
    eventually(lambda: all_up(world), UP_S)


def test_what_could_not_be_loaded_is_loaded_by_the_next_look(world: World) -> None:
    """As after a charon that did not answer in time: the watcher's own session with it may be whole."""
    server = world.servers["blue"]
    everybody = server.desired
    server.charon._loader = None
    server.apply(replace(everybody, users={"alice": "blue-alice"}))
    try:
        eventually(lambda: refused(world, "bob", server, "unknown user bob"), UP_S)
    finally:
        server.apply(everybody)
        eventually(lambda: all_up(world), UP_S)


def are_connected(server: Server, wanted: dict[str, str]) -> None:
    assert server.ids() == wanted


def test_a_road_warrior_whose_charon_crashes_comes_back(world: World) -> None:
    world.kill_service("alice", "charon")
    eventually(lambda: left(world, "alice"), UP_S)
    world.start_service("alice", "charon")
    eventually(lambda: all_up(world), UP_S)


def left(world: World, caller: str) -> None:
    """What the gateway said holds no more."""
    assert world.seen(caller)["state"] == "Disconnected"
    assert DNS not in world.resolver(caller)
    assert caller not in world.servers["blue"].users()


def test_a_server_that_crashes_gets_its_callers_back(world: World) -> None:
    server = world.servers["blue"]
    server.kill_charon()
    eventually(lambda: nobody(server), UP_S)
    server.start_charon()
    eventually(lambda: all_up(world), UP_S)
    # The TUN of the second run had another name: the first one's stand-in had the first.
    assert world.run("in-blue", "ip", "-br", "link", "show", "type", "tun").stdout.startswith("vpn0")


def test_a_charon_that_hangs_is_killed_and_another_one_serves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charon, "REQUEST_TIMEOUT_S", 1.0)
    server = world.servers["blue"]
    assert server.daemon
    os.kill(server.daemon.pid, signal.SIGSTOP)
    try:
        assert server.daemon.wait(UP_S) == -signal.SIGKILL
    finally:
        server.daemon.send_signal(signal.SIGCONT)  # Nothing, if it has ended.
    server.start_charon()
    eventually(lambda: all_up(world), UP_S)


def nobody(server: Server) -> None:
    assert not server.state.listening
    assert server.users() == set()


def test_everybody_was_given_an_address_of_the_pool(world: World) -> None:
    for server in world.servers.values():
        assert all(
            POOL.network_address < host for host in map(type(POOL.network_address), server.state.clients)
        )

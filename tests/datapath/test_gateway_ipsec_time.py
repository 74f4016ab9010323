"""IPsec in time: rekeys under load, dead peers, on-demand connections, two sites for one network.

Both sites are Blue's here, without BGP: `one` (site-blue) and `two` (site-red) lead to one network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .gateway_world import World, compartment

pytestmark = pytest.mark.root

UP_S = 30
LAN = "192.168.50.10"
SITES = {"one": "blue", "two": "red"}
LOOK_S = 1.0
"""Between what charon knows and what the report says, on a machine that others use, too."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world with Blue's two sites; no connection yet."""
    world = World(tmp_path_factory.mktemp("time"))
    try:
        world.build()
        world.start_gateway()
        world.apply(blue())
        world.start_agent()
        for site in SITES.values():
            world.start_site(site, cloud=["10.0.0.0/24"])
        yield world
    finally:
        world.close()


def blue(*connections: pb.Connection) -> pb.Compartment:
    item = compartment("blue")
    item.ClearField("bgp")
    del item.connections[:]
    item.connections.extend(connections)
    return item


def connection(name: str, metric: int = 10, **ipsec: Any) -> pb.Connection:
    """A connection to the network that both sites have."""
    given = compartment(SITES[name]).connections[0].ipsec
    for key, value in ipsec.pop("quick_mode", {}).items():
        setattr(given.quick_mode, key, value)
    for key, value in ipsec.pop("main_mode", {}).items():
        setattr(given.main_mode, key, value)
    given.MergeFrom(pb.Ipsec(**ipsec))
    return pb.Connection(
        name=name, routes=[pb.StaticRoute(prefix="192.168.50.0/24", metric=metric)], ipsec=given
    )


def state(world: World, name: str) -> dict[str, Any]:
    """What the report says about a connection; empty: nothing."""
    return next((i for i in world.report().get("connections", []) if i["name"] == name), {})


def is_in(world: World, name: str, phase: str) -> None:
    assert world.answer()["error"] == ""
    assert state(world, name).get("state") == phase, state(world, name)


def arrives(world: World) -> None:
    assert world.pings("vm-blue", LAN)


def way(world: World) -> str:
    """The connection that Blue's compartment would send by; empty: none."""
    said = world.inside("blue", "ip", "route", "get", LAN, check=False).stdout
    found = re.search(r"dev ipsec-(\w+)", said)
    return found[1] if found else ""


def use(world: World, *connections: pb.Connection) -> None:
    """Have these connections, and those that are always up, up."""
    world.apply(blue(*connections))
    for item in connections:
        phase = "Disconnected" if item.ipsec.on_demand else "Connected"
        eventually(partial(is_in, world, item.name, phase), UP_S)


def sa_ids(world: World, name: str) -> tuple[set[str], set[str]]:
    """Unique ids of the IKE_SAs and of the CHILD_SAs that a connection has at this moment."""
    uri = f"unix://{world.folder}/gateway/state/blue+{name}.vici"
    listed = subprocess.run(
        ["swanctl", "--list-sas", "--raw", "--uri", uri], capture_output=True, text=True, check=True
    ).stdout
    ikes, children = (set(re.findall(rf"uniqueid=(\d+) {word}=", listed)) for word in ("version", "reqid"))
    return ikes, children


STREAM_S = 20
SERVE = f"""
import socket, time
server = socket.create_server(("{LAN}", 5000))
print(flush=True)
peer, _ = server.accept()
end = time.monotonic() + {STREAM_S}
sent = 0
while time.monotonic() < end:
    peer.sendall(bytes(8192)); sent += 8192; time.sleep(0.01)
peer.shutdown(1)
print(sent)
"""
READ = f"""
import socket, time
peer = socket.create_connection(("{LAN}", 5000), 10)
got, stall, last = 0, 0.0, time.monotonic()
while data := peer.recv(1 << 20):
    now = time.monotonic(); stall = max(stall, now - last); last = now; got += len(data)
print(got, stall)
"""


def test_rekeys_under_load_lose_nothing(world: World) -> None:
    use(world, connection("one", quick_mode={"sa_life_time_s": 5}, main_mode={"sa_life_time_s": 7}))
    eventually(lambda: arrives(world), UP_S)
    ikes, children = sa_ids(world, "one")
    assert ikes
    assert children
    since = state(world, "one")["since_unix_s"]
    with (
        world.undisturbed("blue", interval_s=0.01),
        world.served("lan-blue", SERVE) as server,
        world.piped("vm-blue", sys.executable, "-c", READ) as reader,
    ):
        while reader.poll() is None:
            for seen, now in zip((ikes, children), sa_ids(world, "one"), strict=True):
                seen.update(now)
        said = reader.communicate()[0].split()
        sent = server.communicate(timeout=10)[0]
    print(
        f"rekeyed: IKE {len(ikes) - 1}, CHILD {len(children) - 1}; {said[0]} bytes, longest stall {said[1]} s"
    )
    assert len(ikes) > 2, ikes
    assert len(children) > 3, children
    assert int(said[0]) == int(sent)
    assert float(said[1]) < 1.0
    assert state(world, "one")["since_unix_s"] == since, "it was never taken for down"


def test_a_silent_peer_is_down_in_time_and_the_other_site_takes_over(world: World) -> None:
    outage_s = 3
    use(world, connection("one", 10, network_outage_s=outage_s), connection("two", 20))
    eventually(lambda: arrives(world), UP_S)
    eventually(lambda: stands(world), UP_S)
    world.run("internet", "ip", "link", "set", "s-blue", "down")
    cut = time.monotonic()
    try:
        down = eventually(lambda: is_down(world, "one"), UP_S) - cut
        eventually(lambda: arrives(world), UP_S)
        back = time.monotonic() - cut
        print(f"network outage time {outage_s} s: down after {down:.1f} s, traffic after {back:.1f} s")
        assert down <= outage_s + LOOK_S
        assert way(world) == "two"
        assert "does not answer" in state(world, "one")["last_error"]
    finally:
        world.run("internet", "ip", "link", "set", "s-blue", "up")
    eventually(lambda: is_in(world, "one", "Connected"), UP_S)
    eventually(lambda: arrives(world), UP_S)
    eventually(lambda: stands(world), UP_S)


def is_down(world: World, name: str) -> float:
    assert state(world, name)["state"] != "Connected"
    return time.monotonic()


RECOVERED, RECOVERED_VM = "192.168.50.16/29", "192.168.50.20"
"""A part of the site's network that has come up in the cloud, and a machine there."""


def test_a_site_without_bgp_tells_its_lan_what_has_come_up_in_the_cloud(world: World) -> None:
    lost = "02:00:00:00:00:99"
    in_cloud = blue(connection("one"))
    in_cloud.vm_prefixes.append(RECOVERED)
    world.apply(in_cloud)
    eventually(partial(is_in, world, "one", "Connected"), UP_S)
    world.address("vm-blue", "lo", f"{RECOVERED_VM}/32")
    world.run("site-blue", "sysctl", "-qw", "net.ipv4.conf.lan0.proxy_arp=1")
    # Nothing but the router's word makes it forget.
    for key, value in (("locktime", "0"), ("base_reachable_time_ms", "600000")):
        world.run("lan-blue", "sysctl", "-qw", f"net.ipv4.neigh.eth0.{key}={value}")
    neighbour = ("ip", "neigh", "replace", RECOVERED_VM, "lladdr", lost, "dev", "eth0", "nud", "reachable")
    world.run("lan-blue", *neighbour)
    try:
        assert not world.pings("lan-blue", RECOVERED_VM)
        world.configure_site("blue", cloud=["10.0.0.0/24", RECOVERED])
        world.service("site-blue", "onprem", "r")
        eventually(lambda: told(world, lost), UP_S)
        eventually(lambda: reached(world, "lan-blue", RECOVERED_VM), UP_S)
    finally:
        world.configure_site("blue", cloud=["10.0.0.0/24"])
        world.service("site-blue", "onprem", "r")
        world.run("vm-blue", "ip", "address", "del", f"{RECOVERED_VM}/32", "dev", "lo")
        world.run("lan-blue", "ip", "neigh", "flush", "dev", "eth0")


def told(world: World, lost: str) -> None:
    """A machine of the LAN knows the recovered address elsewhere than it was."""
    said = world.run("lan-blue", "ip", "neigh", "show", RECOVERED_VM).stdout
    assert "lladdr" in said, said
    assert lost not in said, said


def reached(world: World, source: str, target: str) -> None:
    assert world.pings(source, target)


ON_DEMAND: dict[str, Any] = {"on_demand": True, "quick_mode": {"idle_disconnect_s": 3}}


@pytest.fixture
def waiting(world: World) -> Iterator[World]:
    """The first site waits to be called."""
    world.configure_site("blue", cloud=["10.0.0.0/24"], calls=False, on_demand=True)
    world.service("site-blue", "onprem", "r")
    yield world
    world.configure_site("blue", cloud=["10.0.0.0/24"])
    world.service("site-blue", "onprem", "r")


def test_the_first_packet_dials_and_silence_hangs_up(waiting: World) -> None:
    world = waiting
    world.apply(blue())
    eventually(lambda: gone(world), UP_S)
    use(world, connection("one", **ON_DEMAND))
    eventually(lambda: stands(world), UP_S)
    for _ in range(2):
        is_in(world, "one", "Disconnected")
        began = time.monotonic()
        eventually(lambda: arrives(world), UP_S)
        took = time.monotonic() - began
        eventually(lambda: is_in(world, "one", "Connected"), UP_S)
        last = time.monotonic()
        eventually(lambda: is_in(world, "one", "Disconnected"), UP_S)
        idle = time.monotonic() - last
        print(f"answered {took:.2f} s after the first packet, closed after {idle:.1f} s of silence")
        assert 2 <= idle <= 3 + 2 * LOOK_S
        stands(world)


def gone(world: World) -> None:
    assert world.answer()["error"] == ""
    assert not world.report().get("connections")


def stands(world: World) -> None:
    assert way(world) == "one"


def test_calls_are_counted_and_kept_apart(waiting: World) -> None:
    world = waiting
    world.service("site-blue", "charon", "d")
    try:
        world.apply(blue())
        eventually(lambda: gone(world), UP_S)
        outage = {"network_outage_s": 3, "tries": 2, "retry_interval_s": 2}
        use(world, connection("one", **ON_DEMAND, **outage))
        eventually(lambda: stands(world), UP_S)
        before = calls(world)
        began = time.monotonic()
        assert not world.pings("vm-blue", LAN)
        eventually(lambda: given_up(world), UP_S)
        # Two calls of 2 s each, six requests, and 2 s between them.
        assert time.monotonic() - began >= 5
        assert calls(world) - before == 2
    finally:
        world.service("site-blue", "charon", "u")
    eventually(lambda: arrives(world), UP_S)


def calls(world: World) -> int:
    """Calls that the gateway's charon has made so far."""
    return world.log("gateway").count("initiating IKE_SA one")


def given_up(world: World) -> None:
    assert "given up after 2 calls" in state(world, "one").get("last_error", "")
    is_in(world, "one", "Disconnected")


def test_narrow_selectors_carry_what_is_in_them(world: World) -> None:
    selectors: dict[str, Any] = {"local_selectors": ["10.0.0.0/24"], "remote_selectors": ["192.168.50.0/24"]}
    use(world, connection("one", **selectors))
    eventually(lambda: is_narrow(world), UP_S)
    # The compartment's own address is in no selector.
    assert not world.pings("site-blue", "10.0.2.2")


def is_narrow(world: World) -> None:
    """The tunnel that was there before is gone only in a moment: what changes closes it, and calls again."""
    arrives(world)
    assert world.pings("lan-blue", "10.0.0.4")
    uri = f"unix://{world.folder}/gateway/state/blue+one.vici"
    listed = subprocess.run(
        ["swanctl", "--list-sas", "--uri", uri], capture_output=True, text=True, check=True
    )
    assert re.search(r"local +10\.0\.0\.0/24", listed.stdout), listed.stdout
    assert re.search(r"remote +192\.168\.50\.0/24", listed.stdout), listed.stdout

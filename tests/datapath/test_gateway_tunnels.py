"""Two tenants with the same addresses behind one gateway: real charon, BIRD and ExaBGP, in namespaces."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from gwnode.bgp.control import Bird
from lab.testing.eventually import eventually

from .gateway_world import RDIDS, WAN, World, compartment, kill

pytestmark = pytest.mark.root

TENANTS = tuple(RDIDS)
UP_S = 30
LOOKS_S = 3.0
"""Time for several looks at a charon; shorter than BGP's hold time and IKE's patience with a peer."""
CLOUD, LAN = "10.0.0.4", "192.168.50.10"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world with both tenants up."""
    world = World(tmp_path_factory.mktemp("gw"))
    try:
        world.build()
        world.start_gateway()
        world.apply(*(compartment(tenant) for tenant in TENANTS))
        world.start_agent()
        for tenant in TENANTS:
            world.start_site(tenant)
        eventually(lambda: both_up(world), UP_S)
        yield world
    finally:
        world.close()


def both_up(world: World) -> None:
    assert world.answer()["error"] == "", world.answer()
    for tenant in TENANTS:
        up(world, tenant)


def up(world: World, tenant: str) -> None:
    assert world.connection(tenant).get("state") == "Connected", world.connection(tenant)
    assert world.peer(tenant).get("state") == "Connected", world.peer(tenant)
    assert world.learned(tenant) == ["192.168.50.0/24"]
    assert world.pings(f"vm-{tenant}", LAN)
    assert world.pings(f"lan-{tenant}", CLOUD)
    # BGP's own way: without it a session outlives its route for a hold time.
    assert world.pings(f"site-{tenant}", "10.0.2.2")


def charon_ids(world: World, tenant: str) -> set[str]:
    """Unique ids of a compartment's IKE_SAs."""
    uri = f"unix://{world.folder}/gateway/state/{tenant}+{tenant}-hq.vici"
    listed = subprocess.run(
        ["swanctl", "--list-sas", "--raw", "--uri", uri], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"{\S+ {uniqueid=(\d+)", listed.stdout))


def test_both_sites_are_reached_at_the_same_address(world: World) -> None:
    both_up(world)


def test_the_compartment_and_the_sites_router_are_hops(world: World) -> None:
    words = ("traceroute", "-n", "-q1", "-w1", "-m5")
    there = world.run("vm-blue", *words, LAN).stdout
    assert re.findall(r"^ *\d+  ([\d.]+)", there, re.M) == ["10.0.2.2", "192.168.50.1", LAN]
    back = world.run("lan-blue", *words, CLOUD).stdout
    assert re.findall(r"^ *\d+  ([\d.]+)", back, re.M) == ["192.168.50.1", "10.0.2.2", CLOUD]


def test_large_transfers_fit_the_tunnel(world: World) -> None:
    """1,000,000 bytes by TCP, which path MTU black holes would end; and an MSS that was cut."""
    serve = (
        f"import socket;s=socket.create_server(('{LAN}',5000));print(flush=True);"
        "c,_=s.accept();c.sendall(bytes(10**6))"
    )
    read = (
        f"import socket;c=socket.create_connection(('{LAN}',5000),10);"
        "print(c.getsockopt(6,2), sum(map(len, iter(lambda: c.recv(65536), b''))))"
    )
    with world.served("lan-blue", serve) as server:
        mss, received = map(int, world.run("vm-blue", sys.executable, "-c", read).stdout.split())
        assert server.wait(10) == 0
    assert received == 10**6
    assert mss <= 1360


def test_a_charon_reaches_its_own_peer_and_nothing_else(world: World) -> None:
    """Even with routes that only who took over a daemon could set, and with the way back open."""
    inner = {"blue": "100.64.0.1", "red": "100.64.0.3"}
    world.run("internet", "ip", "route", "add", "100.64.0.0/16", "via", "203.0.113.5")
    for tenant, peer in WAN.items():
        other = "red" if tenant == "blue" else "blue"
        unit = f"{tenant}+{tenant}-hq"
        world.inside(unit, "ip", "route", "add", "default", "via", outer(tenant))
        world.inside(unit, "nft", "flush", "chain", "ip", "hnvlab", "input")
        world.inside(unit, "nft", "add", "rule", "ip", "hnvlab", "input", "accept")
        strangers = ("203.0.113.5", "203.0.113.10", "203.0.113.1", WAN[other], inner[other], outer(tenant))
        try:
            assert world.inside(unit, "ping", "-c1", "-W1", peer, check=False).returncode == 0
            for address in strangers:
                ended = world.inside(unit, "ping", "-c1", "-W0.3", address, check=False)
                assert ended.returncode != 0, f"{tenant} reaches {address}"
        finally:
            world.inside(unit, "ip", "route", "del", "default")
    world.run("internet", "ip", "route", "del", "100.64.0.0/16")


def outer(tenant: str) -> str:
    return {"blue": "100.64.0.0", "red": "100.64.0.2"}[tenant]


def test_a_compartment_has_no_way_to_the_outside_but_its_connections(world: World) -> None:
    for tenant in TENANTS:
        links = world.inside(tenant, "ip", "-o", "link").stdout
        assert re.findall(r"^\d+: ([\w-]+)", links, re.M) == ["lo", "hnv0", f"ipsec-{tenant}-hq"]
        assert "203.0.113" not in world.inside(tenant, "ip", "route").stdout
        # What charon has is ciphertext: the device that it made plaintext for is not there.
        assert "tun" not in world.inside(f"{tenant}+{tenant}-hq", "ip", "-d", "link").stdout


def test_a_vm_cannot_talk_to_the_compartments_daemons(world: World) -> None:
    connect = "import socket;socket.create_connection(('10.0.2.2',179),1)"
    assert world.run("vm-blue", sys.executable, "-c", connect, check=False).returncode != 0
    assert not world.pings("vm-blue", WAN["blue"])


def refused(world: World) -> None:
    """Red's site and gateway do not have one secret."""
    state = world.connection("red")
    assert state.get("state") != "Connected"
    assert "pre-shared keys differ" in state.get("last_error", ""), state
    assert world.learned("red") == []


def test_a_wrong_secret_is_named_and_harms_only_its_tenant(world: World) -> None:
    with world.undisturbed("blue"):
        world.apply(compartment("blue"), compartment("red", secret="not-the-one"))
        eventually(lambda: refused(world), UP_S)
        world.apply(compartment("blue"), compartment("red"))
        eventually(lambda: up(world, "red"), UP_S)
    assert world.connection("red").get("last_error", "") == ""


def test_transforms_that_cannot_be_are_refused_and_change_nothing(world: World) -> None:
    wrong = compartment("red")
    wrong.connections[0].ipsec.quick_mode.cipher = "DES"
    with world.undisturbed("blue"), world.undisturbed("red"):
        world.apply(wrong)
        error = str(eventually(world.answer, UP_S)["error"])
        assert "single DES" in error
        assert "nearest choice is DES3" in error
        assert f"compartment/{RDIDS['red']}" in error
        world.apply(*map(compartment, TENANTS))
        eventually(lambda: both_up(world), UP_S)


def test_an_agent_that_dies_disturbs_nothing_and_finds_everything_again(world: World) -> None:
    before = {tenant: charon_ids(world, tenant) for tenant in TENANTS}
    with world.undisturbed("blue"), world.undisturbed("red"):
        world.end("agent", signal.SIGKILL)
        (world.folder / "gateway" / "report").unlink()
        world.apply(*map(compartment, TENANTS))
        world.start_agent()
        eventually(lambda: both_up(world), UP_S)
    assert {tenant: charon_ids(world, tenant) for tenant in TENANTS} == before


def test_a_secret_that_changed_while_no_agent_ran_counts(world: World) -> None:
    """charon outlives the agent, and does not tell which secret it has."""
    with world.undisturbed("blue"):
        for red, becomes in (
            (compartment("red", secret="not-the-one"), refused),
            (compartment("red"), red_up),
        ):
            world.end("agent", signal.SIGKILL)
            (world.folder / "gateway" / "report").unlink()
            world.apply(compartment("blue"), red)
            world.start_agent()
            eventually(partial(becomes, world), UP_S)


def red_up(world: World) -> None:
    up(world, "red")


def test_a_charon_that_hangs_holds_up_no_report(world: World) -> None:
    def carried(more_than: int) -> int:
        now = int(world.connection("blue").get("bytes_in", 0))
        assert now > more_than
        return now

    hanging = world.service_pid("gateway", "charon-red+red-hq")
    with world.undisturbed("blue"):
        os.kill(hanging, signal.SIGSTOP)
        try:
            stopped, bytes_in = time.monotonic(), 0
            while time.monotonic() - stopped < LOOKS_S:
                bytes_in = eventually(partial(carried, bytes_in), LOOKS_S)
        finally:
            os.kill(hanging, signal.SIGCONT)
    eventually(lambda: both_up(world), UP_S)


def test_a_killed_charon_of_the_gateway_recovers(world: World) -> None:
    before = world.service_pid("gateway", "charon-blue+blue-hq")

    def again() -> None:
        assert world.service_pid("gateway", "charon-blue+blue-hq") not in (0, before)
        up(world, "blue")

    with world.undisturbed("red"):
        kill(before)
        eventually(again, UP_S)


def test_a_killed_bird_recovers(world: World) -> None:
    before = world.service_pid("gateway", "bird-blue")

    def again() -> None:
        assert world.service_pid("gateway", "bird-blue") not in (0, before)
        up(world, "blue")

    with world.undisturbed("red"):
        kill(before)
        eventually(again, UP_S)


def test_a_sites_exabgp_takes_its_prefix_with_it(world: World) -> None:
    def withdrawn() -> None:
        assert world.learned("blue") == []
        assert world.connection("blue")["state"] == "Connected"
        assert "10.0.0.0/24" not in world.run("site-blue", "ip", "route").stdout

    with world.undisturbed("red"):
        world.service("site-blue", "exabgp", "d")
        eventually(withdrawn, UP_S)
        world.service("site-blue", "exabgp", "u")
        eventually(lambda: up(world, "blue"), UP_S)


def test_a_sites_charon_takes_its_prefix_with_it(world: World) -> None:
    def withdrawn() -> None:
        assert world.learned("blue") == []
        assert world.connection("blue")["state"] != "Connected"

    with world.undisturbed("red"):
        world.service("site-blue", "charon", "d")
        eventually(withdrawn, UP_S)
        world.service("site-blue", "charon", "u")
        eventually(lambda: up(world, "blue"), UP_S)


def test_a_sites_charon_that_is_killed_comes_back(world: World) -> None:
    before = world.service_pid("site-blue", "charon")

    def again() -> None:
        assert world.service_pid("site-blue", "charon") not in (0, before)
        up(world, "blue")

    with world.undisturbed("red"):
        kill(before)
        eventually(again, UP_S)


def filtered_updates(world: World, tenant: str) -> int:
    """Offers of its peers that a tenant's BIRD has refused by its filter, in the sessions that stand."""
    with Bird(world.folder / "gateway" / "state" / f"{tenant}.bird") as bird:
        text = "\n".join(bird.command("show protocols all"))
    return sum(int(count) for count in re.findall(r"Import updates: +\d+ +\d+ +(\d+)", text))


@pytest.mark.parametrize(
    "prefix", ["10.0.0.0/25", "0.0.0.0/0", "128.0.0.0/1", "203.0.113.0/24", "100.64.0.2/31"]
)
def test_a_site_cannot_offer_what_is_not_its_own(world: World, prefix: str) -> None:
    """A part of the VM network, everything, half of it, the hoster's front end, another tenant's transit."""

    def refused() -> None:
        assert world.peer("blue").get("state") == "Connected"
        assert filtered_updates(world, "blue") > 0
        assert world.learned("blue") == []

    world.configure_site("blue", offers=prefix)
    try:
        with world.undisturbed("red"):
            world.service("site-blue", "exabgp", "r")
            eventually(refused, UP_S)
    finally:
        world.configure_site("blue")
        world.service("site-blue", "exabgp", "r")
        eventually(lambda: up(world, "blue"), UP_S)


def test_a_removed_tenant_leaves_nothing_and_can_come_back(world: World) -> None:
    def gone() -> None:
        assert world.answer()["error"] == ""
        assert world.connection("red") == {}

    with world.undisturbed("blue"):
        world.apply(compartment("blue"))
        eventually(gone, UP_S)
        gateway = world.folder / "gateway"
        left = [path for path in (world.folder / "compartments").iterdir() if "red" in path.name]
        left += gateway.rglob("*red*")
        assert left == []
        links = world.run("gateway", "ip", "-o", "link").stdout
        assert "v-red" not in links
        assert "c-red" not in links
        assert WAN["red"] not in world.run("gateway", "nft", "list", "ruleset").stdout
        assert WAN["red"] not in world.run("gateway", "cat", "/proc/net/nf_conntrack").stdout
        world.apply(*map(compartment, TENANTS))
        eventually(lambda: both_up(world), UP_S)

"""VM networks linked through the gateway: the real agent, real packets from one compartment to the other."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gwnode.link import NO_WAY_BACK
from gwnode.netns import Namespace
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .gateway_world import VIP, World

pytestmark = pytest.mark.root

PREFIXES = {"blue": ("10.0.0.0/24", "10.0.1.0/24"), "green": ("10.1.0.0/24", "10.0.1.0/24")}
RDIDS = {"blue": "5d0c4d4a-0b1e-4000-8000-0000000000b1", "green": "5d0c4d4a-0b1e-4000-8000-0000000000a1"}
GATEWAY = {"blue": "10.0.2", "green": "10.1.2"}
VM = {"blue": "10.0.0.4", "green": "10.1.0.4"}
SECRET = "10.0.1.4"
"""Both have it, and nobody offers it."""
OTHER = {"blue": "green", "green": "blue"}
WITHIN_S = 15


class Linked(World):
    """Two VMs behind a gateway, each with an address that is offered and one that is not."""

    def build(self) -> None:
        for name in ("gateway", *(f"vm-{tenant}" for tenant in RDIDS)):
            Namespace(self.path(name)).ensure()
            self.run(name, "ip", "link", "set", "lo", "up")
        self.run("gateway", "ip", "link", "add", "fe0", "type", "veth", "peer", "name", "fe1")
        for tenant, network in GATEWAY.items():
            machine = f"vm-{tenant}"
            self.wire("gateway", f"x-{tenant}", machine, "eth0")
            self.address(machine, "eth0", f"{network}.1/29")
            self.address(machine, "lo", f"{VM[tenant]}/32", f"{SECRET}/32")
            self.run(machine, "ip", "route", "add", "default", "via", f"{network}.2", "src", VM[tenant])

    def state(self, tenant: str) -> tuple[str, str]:
        """What is reported of a tenant's link: state and error."""
        found = [i for i in self.report().get("connections", []) if i["rdid"] == RDIDS[tenant]]
        return (found[0]["state"], found[0].get("last_error", "")) if found else ("", "")

    def settled(self, state: str, *tenants: str) -> None:
        """The last goal state is in place, and these tenants' links are in a state."""
        assert self.answer()["error"] == ""
        assert {self.state(tenant)[0] for tenant in tenants} == {state}


def compartment(
    tenant: str, *, offers: str = "", uses: str = "", kbps: int = 0, linked: bool = True
) -> pb.Compartment:
    other = OTHER[tenant]
    link = pb.Connection(
        name=f"to-{other}",
        outbound_kbps=kbps,
        routes=[pb.StaticRoute(prefix=uses or PREFIXES[other][0], metric=10)],
        link=pb.Link(peer_rdid=RDIDS[other], local_prefixes=[offers or PREFIXES[tenant][0]]),
    )
    return pb.Compartment(
        rdid=RDIDS[tenant],
        tenant=tenant,
        vsid=5003,
        customer_address=f"{GATEWAY[tenant]}.2",
        prefix_length=29,
        mac="00:15:5d:0a:02:02",
        router_address=f"{GATEWAY[tenant]}.1",
        vm_prefixes=PREFIXES[tenant],
        vip=VIP,
        connections=[link] if linked else [],
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    world = Linked(tmp_path_factory.mktemp("link"))
    try:
        world.build()
        world.start_gateway()
        world.apply()
        world.start_agent()
        yield world
    finally:
        world.close()


@pytest.fixture
def world(built: Linked) -> Linked:
    """Linked by both."""
    built.apply(compartment("blue"), compartment("green"))
    eventually(lambda: built.settled("Connected", *RDIDS), WITHIN_S)
    return built


def test_both_reach_what_the_other_offers(world: Linked) -> None:
    for tenant in RDIDS:
        assert world.pings(f"vm-{tenant}", VM[OTHER[tenant]])
    hops = world.run("vm-blue", "traceroute", "-n", "-q1", "-w1", "-m5", VM["green"]).stdout
    assert re.findall(r"^ *\d+  ([\d.]+)", hops, re.M) == ["10.0.2.2", "10.1.2.2", VM["green"]]


def test_the_pair_lies_between_the_compartments_and_nowhere_else(world: Linked) -> None:
    assert "link-to-green" in world.inside("blue", "ip", "-o", "link").stdout
    assert "link-to-blue" in world.inside("green", "ip", "-o", "link").stdout
    gateway = world.run("gateway", "ip", "-o", "link").stdout
    assert set(re.findall(r"^\d+: ([\w-]+)", gateway, re.M)) - {"lo", "fe0", "fe1"} == {
        f"{side}-{tenant}" for side in "vx" for tenant in RDIDS
    }


def test_tcp_of_a_megabyte_arrives(world: Linked) -> None:
    address = VM["green"]
    serve = (
        f"import socket;s=socket.create_server(('{address}',5000));print(flush=True);"
        "c,_=s.accept();c.sendall(bytes(10**6))"
    )
    read = (
        f"import socket;c=socket.create_connection(('{address}',5000),10);"
        "print(sum(map(len, iter(lambda: c.recv(65536), b''))))"
    )
    with world.served("vm-green", serve) as server:
        assert int(world.run("vm-blue", sys.executable, "-c", read).stdout) == 10**6
        assert server.wait(10) == 0


def test_what_is_not_linked_does_not_pass(world: Linked) -> None:
    """Not even with routes that only who took over a compartment's routing could set."""
    for tenant, other in OTHER.items():
        device = f"link-to-{other}"
        target = f"{GATEWAY[other]}.1"
        world.inside(tenant, "ip", "route", "add", f"{target}/32", "dev", device)
        world.inside(tenant, "ip", "route", "add", "198.51.100.0/24", "dev", device)
        try:
            assert not world.pings(f"vm-{tenant}", target), "the other's gateway subnet"
            assert not world.pings(f"vm-{tenant}", f"{GATEWAY[other]}.2"), "the other's compartment"
            assert not world.pings(f"vm-{tenant}", "198.51.100.1"), "whatever is behind the other"
            assert not world.pings(f"vm-{tenant}", VM[other], "-I", SECRET), "from what is not offered"
        finally:
            world.inside(tenant, "ip", "route", "flush", "table", "main", "198.51.100.0/24")
            world.inside(tenant, "ip", "route", "del", f"{target}/32", "dev", device)
        assert world.pings(f"vm-{tenant}", VM[other])


def test_the_peer_takes_in_no_more_than_its_own_link_allows(world: Linked) -> None:
    """Blue wants, and offers, everything; Green still takes one address from one address."""
    wide = compartment("blue", uses="10.1.0.0/16", offers="10.0.0.0/24")
    world.address("vm-green", "lo", "10.1.0.5/32")
    world.address("vm-blue", "lo", "10.0.0.5/32")
    try:
        assert world.pings("vm-blue", "10.1.0.5"), "Green offers its whole subnet so far"
        world.apply(wide, compartment("green", offers="10.1.0.4/32", uses="10.0.0.4/32"))
        eventually(lambda: world.settled("Connected", *RDIDS), WITHIN_S)
        assert world.pings("vm-blue", VM["green"])
        assert not world.pings("vm-blue", "10.1.0.5")
        assert not world.pings("vm-blue", VM["green"], "-I", "10.0.0.5")
    finally:
        world.run("vm-green", "ip", "address", "del", "10.1.0.5/32", "dev", "lo")
        world.run("vm-blue", "ip", "address", "del", "10.0.0.5/32", "dev", "lo")


def test_one_side_alone_is_not_connected_and_says_why(world: Linked) -> None:
    world.apply(compartment("blue"), compartment("green", linked=False))
    eventually(lambda: world.settled("Disconnected", "blue"), WITHIN_S)
    assert world.state("blue") == ("Disconnected", NO_WAY_BACK)
    assert not world.pings("vm-blue", VM["green"])
    assert "10.1.0.0" not in world.inside("blue", "ip", "route").stdout
    assert "link-to-" not in world.inside("green", "ip", "-o", "link").stdout


def test_an_agent_that_dies_leaves_the_link_and_finds_it_again(world: Linked) -> None:
    before = world.inside("blue", "ip", "-o", "link", "show", "link-to-green").stdout
    world.end("agent", signal.SIGKILL)
    (world.folder / "gateway" / "report").unlink()
    assert world.pings("vm-blue", VM["green"])
    world.apply(compartment("blue"), compartment("green"))
    world.start_agent()
    eventually(lambda: world.settled("Connected", *RDIDS), WITHIN_S)
    assert world.inside("blue", "ip", "-o", "link", "show", "link-to-green").stdout == before


def test_a_link_that_nobody_wants_any_more_is_cut_by_an_agent_that_did_not_make_it(world: Linked) -> None:
    world.end("agent", signal.SIGKILL)
    world.apply(compartment("blue", linked=False), compartment("green", linked=False))
    world.start_agent()
    eventually(lambda: world.settled("", *RDIDS), WITHIN_S)
    assert not world.pings("vm-blue", VM["green"])
    assert "link-to-" not in world.inside("blue", "ip", "-o", "link").stdout


def test_a_removed_tenant_takes_the_link_along_and_brings_it_back(world: Linked) -> None:
    world.apply(compartment("blue"))
    eventually(lambda: world.settled("Disconnected", "blue"), WITHIN_S)
    assert "link-to-" not in world.inside("blue", "ip", "-o", "link").stdout
    world.apply(compartment("blue"), compartment("green"))
    eventually(lambda: world.settled("Connected", *RDIDS), WITHIN_S)
    assert world.pings("vm-blue", VM["green"])


def test_prefixes_that_overlap_are_refused_and_change_nothing(world: Linked) -> None:
    world.apply(compartment("blue", uses="10.0.1.0/24"), compartment("green"))
    error = str(eventually(world.answer, WITHIN_S)["error"])
    assert "HNV-GW-007" in error
    assert "10.0.1.0/24" in error
    assert world.pings("vm-blue", VM["green"])


def test_a_link_has_its_rate(world: Linked) -> None:
    world.apply(compartment("blue", kbps=2000), compartment("green"))
    eventually(lambda: world.settled("Connected", *RDIDS), WITHIN_S)
    classes = world.inside("blue", "tc", "class", "show", "dev", "link-to-green").stdout
    assert "rate 2Mbit" in classes


def test_a_link_that_cannot_be_made_names_its_tenants_and_holds_up_nobody_else(world: Linked) -> None:
    """Somebody else's interface has the name that the link is to have, as an operator may have made one."""
    red = compartment("blue", linked=False)
    red.rdid, red.tenant = "5d0c4d4a-0b1e-4000-8000-0000000000c1", "red"
    world.run("gateway", "ip", "link", "add", "x-red", "type", "bridge")
    world.apply(compartment("blue", linked=False), compartment("green", linked=False), red)
    eventually(lambda: world.settled("", *RDIDS), WITHIN_S)
    world.inside("green", "ip", "link", "add", "link-to-blue", "type", "bridge")
    try:
        world.apply(compartment("blue"), compartment("green"))

        def told() -> None:
            error = str(world.answer()["error"])
            assert "tenant green: link to blue: " in error, error
            assert "HNV-GW-005" in error

        eventually(told, WITHIN_S)
        assert not (world.folder / "compartments" / "red").exists(), "who is gone stands still"
    finally:
        world.inside("green", "ip", "link", "del", "link-to-blue")
        world.run("gateway", "ip", "link", "del", "x-red")
    world.apply(compartment("blue"), compartment("green"))
    eventually(lambda: world.settled("Connected", *RDIDS), WITHIN_S)
    assert world.pings("vm-blue", VM["green"])


def test_a_link_that_cannot_be_cut_holds_up_nobody_else(world: Linked) -> None:
    """A compartment that is no namespace any more: something else is mounted over it."""
    path = world.folder / "compartments" / "green"
    subprocess.run(["mount", "--bind", "/dev/null", str(path)], check=True)
    try:
        world.apply(compartment("blue", linked=False), compartment("green", linked=False))

        def told() -> None:
            error = str(world.answer()["error"])
            assert "tenant green: links: " in error, error

        eventually(told, WITHIN_S)
        assert "link-to-" not in world.inside("blue", "ip", "-o", "link").stdout
    finally:
        subprocess.run(["umount", str(path)], check=True)
    world.apply(compartment("blue"), compartment("green"))
    eventually(lambda: world.settled("Connected", *RDIDS), WITHIN_S)

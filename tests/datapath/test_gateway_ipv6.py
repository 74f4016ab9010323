"""IPv6 through a tenant's compartment, by what BGP has learned: the real agent, BIRD and ExaBGP."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from gwnode.bgp.control import Bird
from gwnode.bgp.routes import COMMAND, Kind, routes
from gwnode.bgp.show import shown
from gwnode.netns import Namespace
from lab.testing.eventually import eventually

from .ipv6_world import COMPARTMENT, LANS, TENANTS, VM, Ipv6World, compartment, ipv6_world, lan, machine
from .probe import Sink, blast

pytestmark = pytest.mark.root
UP_S = 30.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ipv6World]:
    with ipv6_world(tmp_path_factory.mktemp("ipv6")) as built:
        for tenant in TENANTS:
            for site in LANS:
                eventually(partial(reached, built, f"vm-{tenant}", machine(site)), UP_S)
        yield built


def reached(world: Ipv6World, source: str, target: str, *options: str) -> None:
    assert world.pings(source, target, *options)


@pytest.mark.parametrize("site", LANS)
@pytest.mark.parametrize("tenant", TENANTS)
def test_a_vm_and_a_machine_behind_a_site_reach_each_other(world: Ipv6World, tenant: str, site: str) -> None:
    eventually(lambda: reached(world, f"vm-{tenant}", machine(site)), UP_S)
    reached(world, f"{tenant}-{site}", VM, "-I", machine(site))
    if site == "gre":
        assert world.at(tenant, site)["fd00:1::/64"].next_hop == COMPARTMENT
    else:
        way = world.run(f"{tenant}-{site}", "ip", "-6", "route", "show", "fd00:1::/64").stdout
        assert "via fd61::2 dev wan0 proto bgp src fd70::1" in way, way


def test_the_report_names_what_was_learned(world: Ipv6World) -> None:
    def told() -> None:
        for tenant in TENANTS:
            assert set(world.learned(tenant) or ()) >= {lan(site) for site in LANS}

    eventually(told, UP_S)
    document = shown(world.folder / "gateway" / "state", "blue", Kind.BEST)
    assert {lan(site) for site in LANS} <= {route["prefix"] for route in document["routes"]}
    assert all(peer["ipv6"] for peer in document["peers"])


@pytest.mark.parametrize("tenant", TENANTS)
def test_the_router_knows_its_own_routes_again(world: Ipv6World, tenant: str) -> None:
    """When BIRD looks at the kernel; every minute by its configuration, every second here."""
    state = world.folder / "gateway" / "state"
    control, usual, often = (state / f"{tenant}.{kind}" for kind in ("bird", "bird.conf", "often.conf"))
    often.write_text(usual.read_text().replace("  learn;\n", "  learn;\n  scan time 1;\n"))
    wanted = {lan(site) for site in LANS} | {f"192.168.{number}.0/24" for number in LANS.values()}

    def reachable() -> None:
        with Bird(control) as bird:
            found = [route for route in routes(bird.command(COMMAND)) if route.prefix in wanted]
        assert {route.prefix for route in found if route.best and route.reachable} == wanted, found

    def there_again(version: str, prefix: str) -> None:
        assert "proto bird" in world.inside(tenant, "ip", version, "route", "show", prefix).stdout

    with Bird(control) as bird:
        bird.command(f'configure "{often}"')
    try:
        for version, prefix in (("-4", f"192.168.{LANS['dc']}.0/24"), ("-6", lan("dc"))):
            eventually(partial(there_again, version, prefix), UP_S)
            # What somebody else takes away it sets again when it looks, and not before.
            world.inside(tenant, "ip", version, "route", "del", prefix, "proto", "bird")
            eventually(partial(there_again, version, prefix), UP_S)
        reachable()
    finally:
        with Bird(control) as bird:
            bird.command(f'configure "{usual}"')
    eventually(reachable, UP_S)


def echoes(world: Ipv6World, name: str) -> int:
    """Echo requests that a node has heard."""
    said = world.run(name, "nstat", "-asz", "Icmp6InEchos").stdout
    return int(said.split("Icmp6InEchos")[1].split()[0])


@pytest.mark.parametrize("site", LANS)
def test_tenants_with_the_same_prefixes_never_meet(world: Ipv6World, site: str) -> None:
    eventually(lambda: reached(world, "vm-blue", machine(site)), UP_S)
    blue, red = (echoes(world, f"{tenant}-{site}") for tenant in TENANTS)
    world.run("vm-blue", "ping", "-c5", "-i0.05", "-W1", machine(site))
    assert echoes(world, f"blue-{site}") == blue + 5
    assert echoes(world, f"red-{site}") == red


def link_local(world: Ipv6World, tenant: str, device: str) -> str:
    """A compartment's link-local address."""
    said = json.loads(world.inside(tenant, "ip", "-6", "-j", "addr", "show", "dev", device).stdout)
    (found,) = (a["local"] for a in said[0]["addr_info"] if a["scope"] == "link")
    return str(found)


def test_link_local_addresses_stay_on_the_tenants_own_links(world: Ipv6World) -> None:
    own, other = (link_local(world, tenant, "vlan-dc") for tenant in TENANTS)
    eventually(lambda: reached(world, "blue-dc", f"{own}%wan0"), UP_S)
    assert not world.pings("blue-dc", f"{other}%wan0")
    assert not world.pings("blue-gre", f"{link_local(world, 'blue', 'hnv6')}%wan0")
    said = json.loads(world.inside("blue", "ip", "-6", "-j", "addr").stdout)
    found = {item["ifname"]: [a["scope"] for a in item["addr_info"]] for item in said}
    # A tunnel's device resolves nothing; the port of the IPv4 subnet has no IPv6.
    assert {name: scopes for name, scopes in found.items() if scopes and name != "lo"} == {
        "hnv6": ["global", "link"],
        "vlan-dc": ["global", "link"],
    }


def advertisement(hop_limit: int = 255) -> bytes:
    """A router's word of a prefix and a default route, whole."""
    from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6
    from scapy.layers.l2 import Ether

    source = "fe80::bad"
    said = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix="fd66::", prefixlen=64)
    packet = Ether(dst="33:33:00:00:00:01") / IPv6(src=source, dst="ff02::1", hlim=hop_limit) / said
    return bytes(packet)


@pytest.mark.parametrize("source", ["blue-gre", "blue-dc", "vm-blue"])
def test_no_routers_advertisement_is_believed(world: Ipv6World, source: str) -> None:
    device = "eth6" if source == "vm-blue" else "wan0"

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((device, 0))
            for _ in range(3):
                raw.send(advertisement())

    heard = nd_heard(world)
    before = configuration(world)
    Namespace(world.path(source)).run(send)
    eventually(lambda: more_heard(world, heard), UP_S)
    assert configuration(world) == before


def nd_heard(world: Ipv6World) -> int:
    """Multicast packets of IPv6 that have come into the compartment, believed or not."""
    said = world.inside("blue", "nstat", "-asz", "Ip6InMcastPkts").stdout
    return int(said.split("Ip6InMcastPkts")[1].split()[0])


def more_heard(world: Ipv6World, before: int) -> None:
    assert nd_heard(world) >= before + 3


def configuration(world: Ipv6World) -> str:
    """Addresses and routes of blue's compartment."""
    words = ("addr", "route")
    return "".join(world.inside("blue", "ip", "-6", "-o", word, "show").stdout for word in words)


def test_a_site_cannot_send_from_an_address_of_the_vm_network(world: Ipv6World) -> None:
    eventually(lambda: reached(world, "blue-gre", VM, "-I", machine("gre")), UP_S)
    world.address("blue-gre", "lo", "fd00:1::99/128")
    before = echoes(world, "vm-blue")
    assert not world.pings("blue-gre", VM, "-I", "fd00:1::99")
    assert not world.pings("blue-gre", COMPARTMENT, "-I", "fd00:1::99")
    assert echoes(world, "vm-blue") == before
    reached(world, "blue-gre", VM, "-I", machine("gre"))
    assert echoes(world, "vm-blue") == before + 1


def test_between_two_sites_only_with_transit(world: Ipv6World) -> None:
    world.run("blue-gre", "ip", "route", "replace", f"{machine('dc')}/128", "dev", "wan0", "src", "fd60::10")
    world.run("blue-dc", "ip", "route", "replace", f"{machine('gre')}/128", "via", "fd61::2")
    assert not world.pings("blue-gre", machine("dc"))
    transit = compartment("blue")
    transit.bgp.transit_routing = True
    world.apply(transit, compartment("red"))
    eventually(lambda: reached(world, "blue-gre", machine("dc")), UP_S)
    world.apply(*map(compartment, TENANTS))


def test_much_goes_by_tcp(world: Ipv6World) -> None:
    eventually(lambda: reached(world, "vm-red", machine("gre")), UP_S)
    sink = Namespace(world.path("red-gre")).run(Sink)
    Namespace(world.path("vm-red")).run(lambda: blast(machine("gre"), sink.port, 1 << 20))
    assert sink.join() == 1 << 20


def test_an_agent_that_starts_again_disturbs_no_packet(world: Ipv6World) -> None:
    eventually(lambda: reached(world, "vm-red", machine("dc")), UP_S)
    with world.undisturbed("red", target=machine("dc")):
        world.end("agent", signal.SIGKILL)
        (world.folder / "gateway" / "answer").unlink()
        world.start_agent()

        def applied() -> None:
            assert world.answer()["error"] == ""

        eventually(applied, UP_S)


def test_without_ipv6_there_is_none_of_it(world: Ipv6World) -> None:
    eventually(lambda: reached(world, "vm-blue", machine("gre")), UP_S)
    world.apply(compartment("blue", ipv6=False), compartment("red"))

    def gone() -> None:
        assert world.answer()["error"] == ""
        assert not [item for item in world.learned("blue") or () if ":" in item]
        said = json.loads(world.inside("blue", "ip", "-6", "-j", "addr").stdout)
        assert [item["ifname"] for item in said if item.get("addr_info")] in ([], ["lo"])
        assert world.inside("blue", "nft", "list", "tables").stdout.split() == ["table", "ip", "hnvlab"]
        assert set(world.at("blue", "gre")) == {"10.0.0.0/24"}

    eventually(gone, UP_S)
    assert not world.pings("vm-blue", machine("gre"))
    reached(world, "vm-red", machine("gre"))
    reached(world, "vm-blue", "192.168.60.1")
    world.apply(*map(compartment, TENANTS))
    eventually(lambda: reached(world, "vm-blue", machine("gre")), UP_S)


def test_no_packet_passes_from_site_to_site_while_ipv6_goes(world: Ipv6World) -> None:
    """Without transit routing the filter keeps two sites apart: IPv6 must be gone before it is."""
    for site in LANS:
        eventually(partial(reached, world, "vm-blue", machine(site)), UP_S)
    world.run("blue-gre", "ip", "-6", "route", "add", lan("dc"), "dev", "wan0", "src", machine("gre"))
    try:
        assert not world.pings("blue-gre", machine("dc"))
        before = echoes(world, "blue-dc")
        with world.piped("blue-gre", "ping", "-q", "-i0.001", "-W1", machine("dc")):
            world.apply(compartment("blue", ipv6=False), compartment("red"))
            eventually(lambda: no_error(world), UP_S)
        assert echoes(world, "blue-dc") == before
    finally:
        world.run("blue-gre", "ip", "-6", "route", "del", lan("dc"), "dev", "wan0")
        world.apply(*map(compartment, TENANTS))
        eventually(lambda: reached(world, "vm-blue", machine("gre")), UP_S)


def no_error(world: Ipv6World) -> None:
    assert world.answer()["error"] == ""


def test_an_ipv6_route_that_cannot_be_is_refused_before_anything_is_touched(world: Ipv6World) -> None:
    bad = compartment("blue", ipv6=False)
    bad.connections[0].routes.add(prefix="fd66::/64")
    world.apply(bad, compartment("red"))

    def refused() -> None:
        assert "HNV-GW-006" in str(world.answer()["error"]) or "is IPv6" in str(world.answer()["error"])

    eventually(refused, UP_S)
    reached(world, "vm-blue", machine("gre"))
    world.apply(*map(compartment, TENANTS))

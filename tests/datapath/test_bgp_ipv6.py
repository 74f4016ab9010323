"""IPv6 routes over a tenant's sessions, which are over IPv4 (RFC 4760): as IPv4's, or not at all."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from gwnode.bgp.control import Bird
from gwnode.bgp.routes import Kind
from gwnode.bgp.sessions import Connectivity
from gwnode.bgp.show import shown
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .bgp_speaker import IPV4_AND_IPV6, reach6, speaking, update, update6
from .bgp_world import NEIGHBOUR6, ROUTER6, SOON_S, BgpWorld, Build, Offer, Site, arrived, offered

pytestmark = pytest.mark.root
LAN, LAN6 = "192.168.50.0/24", "fd50::/64"
VMS, VMS6 = "10.0.0.0/24", "fd00:1::/64"


def with_ipv6(**more: Any) -> pb.BgpRouter:
    """A router that carries IPv6."""
    return pb.BgpRouter(local_ipv6_address=ROUTER6, **more)


def six(number: int = 1, *offers: Offer) -> Site:
    """A site that speaks both."""
    return Site(number, 64520 + number, offers or (Offer(LAN), Offer(LAN6, (7,), med=20)), ipv6=True)


def test_both_versions_go_over_one_session(build: Build) -> None:
    site = six()
    world = build(site)
    world.start_router(site.peer(), wanted=with_ipv6())
    offered(world, {LAN, LAN6}, site)
    route = world.offered_by(site)[LAN6]
    assert (route.as_path, route.med, route.next_hop) == ((64521, 7), 20, site.address6)
    assert route.reachable
    arrived(world, site, {VMS, VMS6})
    assert world.at(site)[VMS6].next_hop == ROUTER6
    assert "dev s1" in world.kernel_routes()[LAN6]
    session = world.session(site)
    assert session.ipv6
    assert (session.statistics.imported, session.ipv6_statistics.imported) == (1, 1)
    assert (session.ipv6_statistics.updates_sent, session.ipv6_statistics.withdrawals_received) == (1, 0)
    world.offer(site, Offer(LAN))
    offered(world, {LAN}, site)
    assert world.session(site).ipv6_statistics.withdrawals_received == 1
    assert world.session(site).statistics.withdrawals_received == 0
    document = shown(world.folder, "router", Kind.BEST)
    assert {route["prefix"] for route in document["routes"]} == {LAN, VMS, VMS6}


def test_disabled_means_neither_offered_nor_taken(build: Build) -> None:
    site = six()
    world = build(site)
    world.start_router(site.peer())
    offered(world, {LAN}, site)
    arrived(world, site, {VMS})
    assert not world.session(site).ipv6
    with Bird(world.folder / f"{site.name}.ctl") as bird:
        said = "\n".join(bird.command("show protocols all cloud"))
    ours = said.partition("Neighbor capabilities")[2].partition("Session:")[0]
    assert "ipv4" in ours
    assert "ipv6" not in ours, "the capability is not even offered"
    # Switched on and off again, at run time.
    world.apply(site.peer(), wanted=with_ipv6())
    offered(world, {LAN, LAN6}, site)
    world.apply(site.peer())
    offered(world, {LAN}, site)
    eventually(lambda: no_kernel_route(world, LAN6), SOON_S)


def no_kernel_route(world: BgpWorld, prefix: str) -> None:
    assert prefix not in world.kernel_routes()


def test_a_peer_that_speaks_ipv4_alone_is_served(build: Build) -> None:
    old, new = Site(1, 64521, (Offer(LAN),)), six(2, Offer("fd51::/64"))
    world = build(old, new)
    world.start_router(old.peer(), new.peer(), wanted=with_ipv6(transit_routing=True))
    offered(world, {LAN, "fd51::/64"}, old, new)
    arrived(world, old, {VMS})
    arrived(world, new, {VMS, VMS6, LAN})
    assert not world.session(old).ipv6


def test_what_no_site_may_offer_of_ipv6(build: Build) -> None:
    bad = (
        *(VMS6, "fd00:1:0:0:8000::/65", "fd00:2::/112"),
        *(
            "100::/80",
            "fe80::/64",
            "ff05::/16",
            "::1/128",
            "::ffff:10.0.0.0/104",
            "8000::/1",
            "2000::/3",
            "::/0",
        ),
    )
    site = six(1, *(Offer(prefix) for prefix in (*bad, LAN6)))
    world = build(site)
    world.start_router(site.peer(), wanted=with_ipv6())
    offered(world, {LAN6}, site)
    peer = site.peer()
    peer.inbound.add(name="way out", action="allow", match_prefixes=list(bad))
    world.apply(peer, wanted=with_ipv6())
    offered(world, {"::/0"}, site)


def test_one_policy_is_for_both_versions(build: Build) -> None:
    site = six(
        1,
        Offer(LAN, communities=frozenset({"64521:1"})),
        Offer(LAN6, communities=frozenset({"64521:1"})),
        *(Offer("192.168.51.0/24"), Offer("fd51::/64"), Offer("fd52::/64")),
    )
    world = build(site)
    peer = site.peer()
    peer.inbound.add(name="not these", action="deny", match_prefixes=["192.168.51.0/24", "fd51::/64"])
    peer.inbound.add(
        name="mark",
        action="modify",
        match_communities=["64521:1"],
        set_local_preference=300,
        set_med=9,
        add_communities=["64512:6"],
    )
    peer.inbound.add(name="its own", action="modify", match_next_hops=[site.address6], set_med=66)
    world.start_router(peer, wanted=with_ipv6())
    offered(world, {LAN, LAN6, "fd52::/64"}, site)
    found = world.offered_by(site)
    for prefix in (LAN, LAN6):
        route = found[prefix]
        assert (route.local_preference, route.med) == (300, 9)
        assert route.communities == ("64521:1", "64512:6")
    assert found["fd52::/64"].med == 66


def test_the_next_hops_that_policies_set(build: Build) -> None:
    one, two = six(1, Offer(LAN), Offer(LAN6)), six(2, Offer("fd51::/64"))
    world = build(one, two)
    inbound, outbound = one.peer(), two.peer()
    inbound.inbound.add(name="by the appliance", action="modify", set_next_hop=NEIGHBOUR6)
    outbound.outbound.add(name="elsewhere", action="modify", set_next_hop="fd09:2::9")
    world.start_router(inbound, outbound, wanted=with_ipv6())
    offered(world, {LAN, LAN6}, one)
    found = world.offered_by(one)
    assert (found[LAN].next_hop, found[LAN6].next_hop) == (one.address, NEIGHBOUR6)

    def by_the_appliance() -> None:
        assert f"via {NEIGHBOUR6} dev ca0" in world.kernel_routes().get(LAN6, "")

    eventually(by_the_appliance, SOON_S)
    arrived(world, two, {VMS, VMS6})
    assert {prefix: route.next_hop for prefix, route in world.at(two).items()} == {
        VMS: "10.0.2.2",
        VMS6: "fd09:2::9",
    }


def test_the_prefix_limit_is_of_each_version(build: Build) -> None:
    many = tuple(Offer(f"fd50:0:0:{number}::/64") for number in range(10))
    site = six(1, Offer(LAN), *many)
    world = build(site)
    peer = site.peer()
    peer.max_prefixes = 4
    world.start_router(peer, wanted=with_ipv6())

    def some() -> None:
        found = set(world.offered_by(site))
        assert LAN in found
        assert len(found) == 5
        session = world.session(site)
        assert session.blocked == ("ipv6",)
        assert session.last_error == "the peer offers more than 4 prefixes of IPv6: the others are not taken"

    eventually(some, SOON_S)
    world.offer(site, Offer(LAN), Offer("fd77::/64"))
    offered(world, {LAN, "fd77::/64"}, site)
    assert not world.session(site).blocked


def test_aggregates_and_equal_routes_of_ipv6(build: Build) -> None:
    one, two = (six(n, Offer("fd50::/64"), Offer(f"fd50:0:0:{n}::/64")) for n in (1, 2))
    world = build(one, two)
    aggregate = pb.BgpAggregate(prefix="fd50::/32", summary_only=True)
    wanted = with_ipv6(ecmp=True, transit_routing=True, aggregates=[aggregate])
    world.start_router(one.peer(), two.peer(), wanted=wanted)
    arrived(world, one, {VMS, VMS6, "fd50::/32"})

    def both() -> None:
        text = world.kernel_routes().get("fd50::/64", "")
        assert "dev s1" in text, text
        assert "dev s2" in text, text

    eventually(both, SOON_S)
    world.offer(one)
    world.offer(two)
    arrived(world, one, {VMS, VMS6})


def test_an_ipv6_prefix_that_flaps_is_damped(build: Build) -> None:
    site = six(1, Offer(LAN), Offer(LAN6))
    world = build(site)
    damping = pb.BgpDampening(half_life_s=600, reuse=500, suppress=1500, maximum_s=2400)
    world.start_router(site.peer(), wanted=with_ipv6(dampening=damping))
    offered(world, {LAN, LAN6}, site)
    for _ in range(2):
        world.offer(site, Offer(LAN))
        offered(world, {LAN}, site)
        world.offer(site, Offer(LAN), Offer(LAN6))
        offered(world, {LAN, LAN6}, site)

    def damped() -> None:
        found = world.offered_by(site)
        assert (found[LAN].damped, found[LAN6].damped) == (False, True)
        assert LAN6 not in world.kernel_routes()

    eventually(damped, SOON_S)
    assert world.session(site).status is Connectivity.CONNECTED
    assert world.session(site).last_error == f"damped, because they flap: {LAN6}"


GOOD = reach6("fd09:1::2", "fd50::/64")
BROKEN = {
    "next hop of 4 octets": GOOD[:3] + bytes((4,)) + GOOD[4:8] + GOOD[20:],
    "next hop beyond the end": GOOD[:3] + bytes((200,)) + GOOD[4:],
    "prefix of 200 bits": GOOD[:21] + bytes((200,)) + bytes(25),
    "prefix that is cut off": GOOD[:-3],
    "an IP version that nobody knows": reach6("fd09:1::2", "fd50::/64", afi=77),
    "nothing": b"",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_malformed_ipv6_route_does_no_harm(build: Build, what: str) -> None:
    """RFC 4760 §7: whatever becomes of that session, the router and its other peers go on."""
    honest, rogue = six(2, Offer("fd52::/64")), Site(1, 64521)
    world = build(honest)
    world.build_site(rogue)
    peer = rogue.peer()
    peer.passive = True
    world.start_router(honest.peer(), peer, wanted=with_ipv6())
    offered(world, {"fd52::/64"}, honest)
    since = world.session(honest).since_unix_s
    with speaking(world.path(rogue.name), rogue.address) as speaker:
        speaker.establish(rogue.asn, rogue.address, IPV4_AND_IPV6)
        good = reach6("fd09:1::2", "fd51::/64")
        speaker.say(update6(rogue.asn, good))
        offered(world, {"fd51::/64", "fd52::/64"}, honest, rogue)
        speaker.say(update6(rogue.asn, BROKEN[what]), update6(rogue.asn, reach6("fd09:1::2", "fd53::/64")))

        def digested() -> None:
            """It is over with the session, or it goes on without what was broken."""
            found = set(world.offered_by(rogue))
            assert found in (set(), {"fd51::/64", "fd53::/64"}), found

        eventually(digested, SOON_S)
    assert set(world.offered_by(honest)) == {"fd52::/64"}
    assert world.session(honest).since_unix_s == since


def test_a_route_of_ipv6_that_was_not_agreed_on_is_not_taken(build: Build) -> None:
    rogue = Site(1, 64521)
    world = build()
    world.build_site(rogue)
    peer = rogue.peer()
    peer.passive = True
    world.start_router(peer)
    eventually(lambda: world.session(rogue), SOON_S)
    with speaking(world.path(rogue.name), rogue.address) as speaker:
        speaker.establish(rogue.asn, rogue.address, IPV4_AND_IPV6)
        speaker.say(
            update6(rogue.asn, GOOD), update(rogue.asn, rogue.address, [IPv4Network("192.168.50.0/24")])
        )
        offered(world, {"192.168.50.0/24"}, rogue)
    assert LAN6 not in world.kernel_routes()

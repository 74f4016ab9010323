"""The tenant's BGP router against other routers: what of BgpRouter is BIRD's own to do."""

from __future__ import annotations

import pytest

from gwnode.bgp.control import Bird
from gwnode.bgp.routes import Kind
from gwnode.bgp.sessions import Connectivity
from gwnode.bgp.show import shown
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .bgp_world import NEIGHBOUR, ROUTER, ROUTER_ASN, SOON_S, BgpWorld, Build, Offer, Site, arrived, offered

pytestmark = pytest.mark.root


def connected(world: BgpWorld, *sites: Site) -> None:
    """Wait for sessions."""

    def all_connected() -> None:
        states = {site.name: world.session(site) for site in sites}
        assert {state.status for state in states.values()} == {Connectivity.CONNECTED}, states

    eventually(all_connected, SOON_S)


def test_a_site_offers_and_is_offered(build: Build) -> None:
    site = Site(1, 64521, (Offer("192.168.50.0/24", (7,), frozenset({"64521:1"}), 20),))
    world = build(site)
    world.start_router(site.peer())
    connected(world, site)
    offered(world, {"192.168.50.0/24"}, site)
    route = world.offered_by(site)["192.168.50.0/24"]
    assert (route.as_path, route.med, route.communities) == ((64521, 7), 20, ("64521:1",))
    assert (route.next_hop, route.origin, route.best, route.reachable) == (site.address, "IGP", True, True)
    arrived(world, site, {"10.0.0.0/24"})
    assert world.at(site)["10.0.0.0/24"].next_hop == ROUTER
    assert "192.168.50.0/24" in world.kernel_routes()
    session = world.session(site)
    assert (session.hold_time_s, session.asn, session.statistics.imported) == (9, 64521, 1)
    document = shown(world.folder, "router", Kind.BEST)
    assert [(peer["address"], peer["status"]) for peer in document["peers"]] == [(site.address, "Connected")]
    assert {r["prefix"]: r["peer"] for r in document["routes"]} == {
        "10.0.0.0/24": "",
        "192.168.50.0/24": site.address,
    }


def test_refused_prefixes_stay_refused_and_a_default_route_needs_a_policy(build: Build) -> None:
    bad = ("10.0.0.0/24", "10.0.0.128/25", "10.0.2.0/29", "127.0.0.0/8", "0.0.0.0/0")
    site = Site(1, 64521, tuple(Offer(prefix) for prefix in (*bad, "192.168.50.0/24")))
    world = build(site)
    world.start_router(site.peer())
    connected(world, site)
    offered(world, {"192.168.50.0/24"}, site)
    peer = site.peer()
    peer.inbound.add(name="everything", action="modify", set_med=7)
    world.apply(peer)

    def modified() -> None:
        assert world.offered_by(site)["192.168.50.0/24"].med == 7

    eventually(modified, SOON_S)
    # A policy that matches everything does not mean the default route, and never what is refused.
    assert set(world.offered_by(site)) == {"192.168.50.0/24"}
    peer = site.peer()
    peer.inbound.add(name="way out", action="allow", match_prefixes=list(bad))
    world.apply(peer)
    offered(world, {"0.0.0.0/0"}, site)


def test_a_wrong_as_number_is_said(build: Build) -> None:
    site = Site(1, 64521, local_asn=64599)
    world = build(site)
    world.start_router(site.peer())

    def said() -> None:
        session = world.session(site)
        assert session.status is Connectivity.CONNECTING
        assert "another AS number" in session.last_error

    eventually(said, SOON_S)


def test_a_stopped_peer_is_not_connected_until_it_is_started(build: Build) -> None:
    site = Site(1, 64521)
    world = build(site)
    peer = site.peer()
    peer.stopped = True
    world.start_router(peer)

    def stopped() -> None:
        assert world.session(site).status is Connectivity.STOPPED

    eventually(stopped, SOON_S)
    world.apply(site.peer())
    connected(world, site)
    world.apply(peer)
    eventually(stopped, SOON_S)


def test_the_prefix_limit_of_a_peer_holds(build: Build) -> None:
    site = Site(1, 64521, tuple(Offer(f"192.168.{n}.0/24") for n in range(10)))
    world = build(site)
    peer = site.peer()
    peer.max_prefixes = 4
    world.start_router(peer)
    connected(world, site)

    def some() -> None:
        assert len(world.offered_by(site)) == 4
        with Bird(world.router.files.socket) as bird:
            said = bird.command(f"show route import table {site.protocol}.ipv4 count")
        assert any(line.startswith("4 of 4 routes") for line in said), said

    eventually(some, SOON_S)
    since = world.session(site).since_unix_s
    assert world.session(site).blocked
    # Who keeps within it again is heard again, in a new session: BIRD forgets what it blocked.
    world.offer(site, Offer("192.168.77.0/24"), Offer("192.168.78.0/24"))
    offered(world, {"192.168.77.0/24", "192.168.78.0/24"}, site)
    session = world.session(site)
    assert session.since_unix_s > since
    assert not session.blocked


def test_the_heavier_peer_wins_before_all_else(build: Build) -> None:
    near = Site(1, 64521, (Offer("192.168.50.0/24"),))
    far = Site(2, 64522, (Offer("192.168.50.0/24", (1, 2, 3)),))
    world = build(near, far)
    world.start_router(near.peer(), far.peer())
    connected(world, near, far)

    def way(site: Site) -> None:
        assert f"dev s{site.number} " in world.kernel_routes().get("192.168.50.0/24", "") + " "

    eventually(lambda: way(near), SOON_S)
    heavy = far.peer()
    heavy.weight = 40000
    world.apply(near.peer(), heavy)
    eventually(lambda: way(far), SOON_S)


def test_equally_good_routes_share_the_traffic(build: Build) -> None:
    one, two = (Site(n, 64520 + n, (Offer("192.168.50.0/24"),)) for n in (1, 2))
    world = build(one, two)
    world.start_router(one.peer(), two.peer(), wanted=pb.BgpRouter(ecmp=True))
    connected(world, one, two)

    def both() -> None:
        text = world.kernel_routes().get("192.168.50.0/24", "")
        assert "dev s1" in text, text
        assert "dev s2" in text, text

    eventually(both, SOON_S)
    world.apply(one.peer(), two.peer())

    def single() -> None:
        assert "nexthop" not in world.kernel_routes().get("192.168.50.0/24", "nexthop")

    eventually(single, SOON_S)


def test_transit_between_sites_only_where_it_is_wanted(build: Build) -> None:
    one, two = (Site(n, 64520 + n, (Offer(f"192.168.{n}.0/24", (7,)),)) for n in (1, 2))
    world = build(one, two)
    world.start_router(one.peer(), two.peer())
    connected(world, one, two)
    offered(world, {"192.168.1.0/24", "192.168.2.0/24"}, one, two)
    arrived(world, two, {"10.0.0.0/24"})
    world.apply(one.peer(), two.peer(), wanted=pb.BgpRouter(transit_routing=True))
    arrived(world, two, {"10.0.0.0/24", "192.168.1.0/24"})
    route = world.at(two)["192.168.1.0/24"]
    assert (route.as_path, route.next_hop) == ((ROUTER_ASN, 64521, 7), ROUTER)


def test_a_reflector_passes_on_between_internal_peers(build: Build) -> None:
    one, two = (Site(n, ROUTER_ASN, (Offer(f"192.168.{n}.0/24"),)) for n in (1, 2))
    outside = Site(3, 64523, (Offer("192.168.3.0/24"),))
    world = build(one, two, outside)
    peers = [site.peer() for site in (one, two, outside)]
    world.start_router(*peers)
    connected(world, one, two, outside)
    arrived(world, two, {"10.0.0.0/24"})
    for peer in peers[:2]:
        peer.route_reflector_client = True
    world.apply(*peers, wanted=pb.BgpRouter(route_reflector=True))
    arrived(world, two, {"10.0.0.0/24", "192.168.1.0/24", "192.168.3.0/24"})
    learned = world.at(two)
    assert learned["192.168.1.0/24"].next_hop == one.address
    assert learned["192.168.3.0/24"].next_hop == ROUTER
    arrived(world, outside, {"10.0.0.0/24", "192.168.1.0/24", "192.168.2.0/24"})


def test_a_next_hop_that_a_policy_sets(build: Build) -> None:
    one, two = Site(1, 64521, (Offer("192.168.50.0/24"),)), Site(2, 64522)
    world = build(one, two)
    inbound, outbound = one.peer(), two.peer()
    inbound.inbound.add(name="by the appliance", action="modify", set_next_hop=NEIGHBOUR)
    outbound.outbound.add(name="elsewhere", action="modify", set_next_hop="10.9.2.9")
    world.start_router(inbound, outbound)
    connected(world, one, two)
    offered(world, {"192.168.50.0/24"}, one)
    assert world.offered_by(one)["192.168.50.0/24"].next_hop == NEIGHBOUR

    def by_the_appliance() -> None:
        assert f"via {NEIGHBOUR} dev ca0" in world.kernel_routes().get("192.168.50.0/24", "")

    eventually(by_the_appliance, SOON_S)
    arrived(world, two, {"10.0.0.0/24"})
    assert world.at(two)["10.0.0.0/24"].next_hop == "10.9.2.9"

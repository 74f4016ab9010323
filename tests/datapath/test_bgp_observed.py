"""What the router's BIRD cannot do itself: aggregates and route flap dampening, out of what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gwnode.bgp.router import Router
from gwnode.bgp.sessions import Connectivity
from lab.model.lab import SiteConfig
from lab.southbound import southbound_pb2 as pb
from lab.speaker.config import exabgp_config, exabgp_environment
from lab.testing.eventually import eventually

from .bgp_world import HOLD_TIME_S, ROUTER, ROUTER_ASN, SOON_S, BgpWorld, Offer, Site, arrived, bgp_world

pytestmark = pytest.mark.root
FLAPPING, STEADY = Offer("192.168.50.0/24"), Offer("192.168.51.0/24")
KEEP = """\
import os, select
with open("{lines}", "ab", buffering=0) as kept:
    while select.select([0], [], []) and (data := os.read(0, 65536)):
        kept.write(data)
"""
"""ExaBGP's child: its stdin does not block."""
DAMPENING = pb.BgpDampening(half_life_s=2, reuse=700, suppress=2000, maximum_s=60)
"""Three withdrawals are too many; released after some four seconds."""


def known(world: BgpWorld, site: Site, *offers: Offer) -> None:
    """Wait until the router knows exactly these routes of a site; the agent does not look."""

    def same() -> None:
        with_dampening = world.offered_by(site)
        assert set(with_dampening) == {offer.prefix for offer in offers}

    eventually(same, SOON_S)


def flap(world: BgpWorld, site: Site, times: int) -> None:
    """Withdraw the one route and offer it again."""
    for _ in range(times):
        world.offer(site, STEADY)
        known(world, site, STEADY)
        world.offer(site, STEADY, FLAPPING)
        known(world, site, STEADY, FLAPPING)


def damped(world: BgpWorld, *prefixes: str) -> None:
    """Wait until exactly these prefixes are damped, and out of the kernel."""

    def same() -> None:
        routes = world.observed().routes
        assert {route.prefix for route in routes if route.damped} == set(prefixes)
        kernel = world.kernel_routes()
        assert {r.prefix for r in routes if not r.own and not r.damped} <= set(kernel)
        assert not set(prefixes) & set(kernel)

    eventually(same, SOON_S)


def test_a_prefix_that_flaps_is_damped_and_released(tmp_path: Path) -> None:
    flappy, other = Site(1, 64521, (STEADY, FLAPPING)), Site(2, 64522)
    wanted = pb.BgpRouter(dampening=DAMPENING, transit_routing=True)
    with bgp_world(tmp_path, flappy, other) as world:
        world.start_router(flappy.peer(), other.peer(), wanted=wanted)
        known(world, flappy, STEADY, FLAPPING)
        flap(world, flappy, 1)
        damped(world)
        arrived(world, other, {"10.0.0.0/24", STEADY.prefix, FLAPPING.prefix})
        flap(world, flappy, 3)
        damped(world, FLAPPING.prefix)
        arrived(world, other, {"10.0.0.0/24", STEADY.prefix})
        # An agent that starts anew knows what was before it.
        fresh = Router(world.router.files)
        before = fresh.files.config.read_text()
        fresh.apply(world.config, wanted)
        assert fresh.files.config.read_text() == before
        assert set(fresh.damped()[flappy.protocol]) == {FLAPPING.prefix}
        damped(world)
        arrived(world, other, {"10.0.0.0/24", STEADY.prefix, FLAPPING.prefix})


def test_a_session_that_ends_and_an_internal_peer_are_not_held_against_a_prefix(tmp_path: Path) -> None:
    inner, outer = Site(1, ROUTER_ASN, (STEADY, FLAPPING)), Site(2, 64522, (Offer("192.168.52.0/24"),))
    wanted = pb.BgpRouter(dampening=pb.BgpDampening(half_life_s=900, reuse=100, suppress=500, maximum_s=3600))
    stopped = outer.peer()
    stopped.stopped = True
    with bgp_world(tmp_path, inner, outer) as world:
        world.start_router(inner.peer(), outer.peer(), wanted=wanted)
        known(world, inner, STEADY, FLAPPING)
        flap(world, inner, 2)
        known(world, outer, *outer.offers)
        world.apply(inner.peer(), stopped, wanted=wanted)
        known(world, outer)
        world.apply(inner.peer(), outer.peer(), wanted=wanted)
        known(world, outer, *outer.offers)
        damped(world)
        world.offer(outer)
        known(world, outer)
        world.offer(outer, Offer("192.168.52.0/24"))
        damped(world, "192.168.52.0/24")


def test_an_aggregate_stands_while_a_part_of_it_is_known(tmp_path: Path) -> None:
    giver, taker = Site(1, 64521, (Offer("192.168.50.0/24", (7,)),)), Site(2, 64522)
    wanted = pb.BgpRouter(
        transit_routing=True,
        aggregates=[
            pb.BgpAggregate(prefix="192.168.48.0/20", preserve_as_path=True, summary_only=True),
            pb.BgpAggregate(prefix="10.0.0.0/16"),
        ],
    )
    with bgp_world(tmp_path, giver, taker) as world:
        world.start_router(giver.peer(), taker.peer(), wanted=wanted)
        arrived(world, taker, {"10.0.0.0/24", "10.0.0.0/16", "192.168.48.0/20"})
        learned = world.at(taker)
        assert learned["192.168.48.0/20"].as_path == (ROUTER_ASN, 64521, 7)
        assert learned["10.0.0.0/16"].as_path == (ROUTER_ASN,)
        # Towards the rest of the aggregate nothing leads, rather than somewhere else.
        assert "192.168.48.0/20" in world.kernel_routes()
        world.offer(giver, Offer("192.168.77.0/24"))
        arrived(world, taker, {"10.0.0.0/24", "10.0.0.0/16", "192.168.77.0/24"})
        world.offer(giver, Offer("192.168.50.0/24"), Offer("192.168.77.0/24"))
        arrived(world, taker, {"10.0.0.0/24", "10.0.0.0/16", "192.168.77.0/24", "192.168.48.0/20"})


def test_exabgp_at_the_site(tmp_path: Path) -> None:
    site = Site(1, 64521)
    config = SiteConfig(
        name="hq",
        lan_prefix="192.168.50.0/24",
        lan_router=site.address,
        wan_address="198.51.100.2",
        vip="203.0.113.10",
        shared_secret="unused",
        local_asn=site.asn,
        peer_asn=ROUTER_ASN,
        compartment_address=ROUTER,
        router_id=site.address,
        hold_time_s=HOLD_TIME_S,
    )
    with bgp_world(tmp_path) as world:
        world.build_site(site)
        path = tmp_path / "exabgp.conf"
        lines = tmp_path / "lines"
        keep = tmp_path / "keep"
        keep.write_text(f"#!{sys.executable}\n{KEEP.format(lines=lines)}")
        keep.chmod(0o755)
        path.write_text(exabgp_config(config, [str(keep)]))
        environment = [f"{name}={value}" for name, value in exabgp_environment(config).items()]
        world.start(site.name, "env", *environment, sys.executable, "-m", "exabgp", "server", str(path))
        peer = site.peer()
        peer.inbound.add(name="near", action="modify", set_local_preference=200, add_communities=["1:2"])
        peer.outbound.add(name="far", action="modify", set_med=77, add_communities=["3:4"])
        world.start_router(peer)

        def both_know() -> None:
            session = world.session(site)
            assert session.status is Connectivity.CONNECTED, session
            route = world.offered_by(site)["192.168.50.0/24"]
            assert (route.local_preference, route.communities) == (200, ("1:2",))
            told = lines.read_text()
            assert '"10.0.0.0/24"' in told, told
            assert '"med": 77' in told, told

        eventually(both_know, SOON_S)
        # ExaBGP cannot be asked to say it again: what it said is kept.
        since = world.session(site).since_unix_s
        peer.inbound[0].set_local_preference = 300
        world.apply(peer)

        def taken_anew() -> None:
            assert world.offered_by(site)["192.168.50.0/24"].local_preference == 300
            assert world.session(site).since_unix_s == since

        eventually(taken_anew, SOON_S)

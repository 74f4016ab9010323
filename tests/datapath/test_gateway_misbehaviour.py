"""Sites that misbehave: each harms only itself, and the state that is shown names the cause."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gwnode.netns import Namespace
from lab.ipsec.tunnel import Tunnel
from lab.onprem.config import CONNECTION
from lab.testing.eventually import eventually

from .bgp_speaker import Kind as Message
from .bgp_speaker import Speaker, batches, message, opening, speaking, update
from .gateway_world import VIP
from .guests import MOST_PREFIXES, SITE, SITE_ASN, Guest, Kind
from .many_world import ManyWorld, many_world

pytestmark = pytest.mark.root

BAD = Guest(Kind.IPSEC, 1, selectors=True)
TALKER = Guest(Kind.L3, 1, bgp=True)
GOOD = [Guest(Kind.IPSEC, 2), Guest(Kind.GRE, 2), Guest(Kind.L3, 2, bgp=True), Guest(Kind.NAT, 2)]
UP_S = 30
TAKEN_S = 15
FLOOD = 5000
ROUTE = IPv4Network("192.168.77.0/24")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyWorld]:
    everybody = [BAD, TALKER, *GOOD]
    with many_world(tmp_path_factory.mktemp("bad"), everybody) as made:
        made.serve(*everybody)
        eventually(lambda: made.connected(everybody), UP_S)
        yield made


# -- IPsec ---


def as_the_gateway_wants(world: ManyWorld) -> Tunnel:
    """The site's end of a connection that comes up."""
    return replace(
        world.site_tunnel(BAD), local_ts=("192.168.50.0/24",), remote_ts=("10.0.0.0/24",)
    )


MISTAKES = {
    "wrong secret": ({"secret": "another"}, "pre-shared keys differ"),
    "wrong main mode": ({"ike_proposals": ("aes128-sha1-modp1024",)}, "no common proposal"),
    "wrong quick mode": ({"esp_proposals": ("aes128-sha1",)}, "quick mode transforms"),
    "wrong selectors": ({"local_ts": ("192.168.99.0/24",)}, "traffic selectors"),
    "wrong identity": ({"local_id": "203.0.113.77"}, "address or identity is not expected"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_site_that_calls_wrongly_is_told_from_all_others(world: ManyWorld, mistake: str) -> None:
    changes, cause = MISTAKES[mistake]
    site = world.sites[BAD.name].charon

    def named() -> None:
        assert world.states()[BAD.rdid] != "Connected"
        assert cause in world.last_error(BAD)

    right = as_the_gateway_wants(world)
    wrong: dict[str, Any] = dict(changes)
    with world.quiet(*GOOD):
        site.apply({CONNECTION: replace(right, **wrong)})
        eventually(named, UP_S)
        site.apply({CONNECTION: right})
        eventually(lambda: world.connected([BAD]), UP_S)
    assert world.last_error(BAD) == ""


def ike_sa_init() -> bytes:
    """A call as charon takes it (RFC 7296 §1.2), but for the initiator's SPI, which comes before it."""

    def transform(last: bool, kind: int, number: int, attributes: bytes = b"") -> bytes:
        return struct.pack("!BxHBxH", 0 if last else 3, 8 + len(attributes), kind, number) + attributes

    def payload(following: int, body: bytes) -> bytes:
        return struct.pack("!BxH", following, 4 + len(body)) + body

    key_length = struct.pack("!HH", 0x800E, 256)
    transforms = (
        transform(False, 1, 12, key_length)
        + transform(False, 2, 5)
        + transform(False, 3, 12)
        + transform(True, 4, 19)
    )
    proposal = struct.pack("!BxHBBBB", 0, 8 + len(transforms), 1, 1, 0, 4) + transforms
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    exchange = struct.pack("!HH", 19, 0) + point
    body = payload(34, proposal) + payload(40, exchange) + payload(0, os.urandom(32))
    return bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 0x08, 0, 28 + len(body)) + body


def flood(world: ManyWorld, name: str) -> None:
    """Calls of an initiator that never goes on, as fast as they can be made."""
    call = ike_sa_init()
    with Namespace(world.path(name)).run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.connect((VIP, 500))
        for _ in range(FLOOD):
            sender.send(os.urandom(8) + call)


def unanswered_calls(world: ManyWorld, guest: Guest) -> int:
    """IKE_SAs of a tenant's charon that only have begun, and calls that it would not even take."""
    log = (world.folder / "gateway" / "state" / f"{guest.unit}.charon.log").read_text()
    return len(re.findall(r"is initiating an IKE_SA", log))


def test_a_flood_of_calls_by_a_site_ends_at_its_own_charon(world: ManyWorld) -> None:
    """Its tunnel stands all the while; charon takes few calls, and forgets them."""
    site = world.sites[BAD.name].charon
    site.apply({CONNECTION: as_the_gateway_wants(world)})
    eventually(lambda: world.connected([BAD]), UP_S)
    before = unanswered_calls(world, BAD)
    with world.quiet(*GOOD):
        flood(world, BAD.outside)
        world.connected([BAD])
    assert unanswered_calls(world, BAD) - before < FLOOD / 10
    eventually(lambda: world.connected([BAD, *GOOD]), UP_S)


def test_a_flood_of_calls_by_strangers_reaches_nobody(world: ManyWorld) -> None:
    ipsec = [guest for guest in (BAD, *GOOD) if guest.kind is Kind.IPSEC]
    before = [unanswered_calls(world, guest) for guest in ipsec]
    with world.quiet(*GOOD):
        flood(world, "internet")
        flood(world, TALKER.outside)
    assert [unanswered_calls(world, guest) for guest in ipsec] == before
    tracked = world.run("gateway", "cat", "/proc/net/nf_conntrack").stdout
    assert not re.search(r"src=203\.0\.113\.1 .*dport=500", tracked), tracked


# -- BGP ---


def peer(world: ManyWorld, guest: Guest = TALKER) -> dict[str, Any]:
    """What the report says of a tenant's BGP peer."""
    found = [item for item in world.report().get("bgp_peers", []) if item["rdid"] == guest.rdid]
    return dict(found[0]) if found else {}


def learned(world: ManyWorld) -> list[str]:
    """Prefixes that the talking site has got through with."""
    found = [item for item in world.report().get("learned_routes", []) if item["rdid"] == TALKER.rdid]
    return [route["prefix"] for item in found for route in item.get("routes", [])]


@pytest.fixture
def speaker(world: ManyWorld) -> Iterator[Speaker]:
    """A connection to the tenant's router that it will talk over."""
    with eventually(lambda: heard(world), UP_S) as ready:
        yield ready


class heard:  # noqa: N801 - a function that is a context manager, too
    """Connect and hear the router's OPEN; after an error it does not take a connection for a while."""

    def __init__(self, world: ManyWorld) -> None:
        self._connection = speaking(world.path(TALKER.outside), SITE)
        try:
            self._speaker = self._connection.__enter__()
        except OSError as error:
            raise AssertionError(str(error)) from error

    def __enter__(self) -> Speaker:
        return self._speaker

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__(None, None, None)

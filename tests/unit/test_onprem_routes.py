"""The site: ExaBGP's configuration and its messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.ipsec.esp import EspBackend
from lab.model.edge import EdgeConfig, Ipv6End
from lab.model.lab import SiteConfig
from lab.onprem.config import tunnel
from lab.speaker.config import exabgp_config
from lab.speaker.routes import updated

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway"
SITE = SiteConfig(
    name="blue-hq",
    lan_prefix="192.168.50.0/24",
    lan_router="192.168.50.1",
    wan_address="198.51.100.2",
    vip="203.0.113.10",
    shared_secret="secret",
    local_asn=64521,
    peer_asn=64512,
    compartment_address="10.0.2.2",
    router_id="192.168.50.1",
    hold_time_s=9,
)


EDGE = EdgeConfig(
    name="blue-dc",
    lan_prefix="192.168.50.0/24",
    lan_router="192.168.50.1",
    wan_address="10.61.0.50",
    gateway="10.61.0.2",
    gre_key=None,
    local_asn=64521,
    peer_asn=64512,
    compartment_address="10.0.2.2",
    router_id="192.168.50.1",
    hold_time_s=9,
)


def test_exabgp_conf() -> None:
    text = exabgp_config(SITE, ["python3", "-m", "lab.onprem", "routes"])
    assert text == (GOLDEN / "exabgp.conf").read_text()


def test_a_site_calls_the_vip_with_its_public_address() -> None:
    site = tunnel(SITE, EspBackend.LIBIPSEC)
    assert (site.local, site.remote, site.local_id, site.remote_id) == (
        "198.51.100.2",
        "203.0.113.10",
        "198.51.100.2",
        "203.0.113.10",
    )
    assert site.initiator


def update(**parts: Any) -> dict[str, Any]:
    return {"type": "update", "neighbor": {"message": {"update": parts}}}


ANNOUNCED = update(
    attribute={"origin": "igp"},
    announce={"ipv4 unicast": {"10.0.2.2": [{"nlri": "10.0.0.0/24"}, {"nlri": "10.0.1.0/24"}]}},
)


def test_a_router_of_both_versions_offers_both_over_one_session() -> None:
    edge = replace(EDGE, ipv6=Ipv6End("fd50::/64", "fd50::1", "fd00:2::2"))
    text = exabgp_config(edge, ["routes"])
    assert "route fd50::/64 next-hop fd50::1;" in text
    assert text.count("unicast") == 2
    assert "ipv6" not in exabgp_config(replace(edge, ipv6=None), ["routes"])


def test_an_edge_s_file_keeps_its_ipv6_side(tmp_path: Path) -> None:
    for ipv6 in (None, Ipv6End("fd50::/64", "fd50::1", "fd00:2::2", "fd61::2")):
        edge = replace(EDGE, ipv6=ipv6)
        path = tmp_path / "edge.json"
        path.write_text(edge.to_json())
        assert EdgeConfig.load(path) == edge


def test_prefixes_of_both_versions_are_announced_and_withdrawn() -> None:
    both = update(
        announce={
            "ipv4 unicast": {"10.0.2.2": [{"nlri": "10.0.0.0/24"}]},
            "ipv6 unicast": {"fd00:2::2": [{"nlri": "fd00:1::/64"}]},
        }
    )
    table = updated(frozenset(), both)
    assert table == {"10.0.0.0/24", "fd00:1::/64"}
    assert updated(table, update(withdraw={"ipv6 unicast": [{"nlri": "fd00:1::/64"}]})) == {"10.0.0.0/24"}


def test_prefixes_are_announced_and_withdrawn() -> None:
    table = updated(frozenset(), ANNOUNCED)
    assert table == {"10.0.0.0/24", "10.0.1.0/24"}
    assert updated(table, update(withdraw={"ipv4 unicast": [{"nlri": "10.0.0.0/24"}]})) == {"10.0.1.0/24"}


def test_a_prefix_that_is_withdrawn_and_announced_in_one_message_stays() -> None:
    message = update(
        withdraw={"ipv4 unicast": [{"nlri": "10.0.0.0/24"}]},
        announce={"ipv4 unicast": {"10.0.2.2": [{"nlri": "10.0.0.0/24"}]}},
    )
    assert updated(frozenset(["10.0.0.0/24"]), message) == {"10.0.0.0/24"}


def test_a_neighbour_that_goes_down_offers_nothing() -> None:
    table = updated(frozenset(), ANNOUNCED)
    assert updated(table, {"type": "state", "neighbor": {"state": "down", "reason": "x"}}) == frozenset()
    for state in ("up", "connected"):
        assert updated(table, {"type": "state", "neighbor": {"state": state}}) == table


def test_other_messages_change_nothing() -> None:
    table = frozenset(["10.0.0.0/24"])
    end_of_rib = json.loads(
        '{"type": "update", "neighbor": {"message": {"eor": {"afi": "ipv4", "safi": "unicast"}}}}'
    )
    for message in (end_of_rib, {"type": "keepalive"}, {"type": "notification", "notification": "shutdown"}):
        assert updated(table, message) == table

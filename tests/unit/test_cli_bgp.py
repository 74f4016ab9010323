"""What `hnvlab bgp` refuses, and what a gateway shows of a tenant's router."""

from __future__ import annotations

from pathlib import Path

import pytest

from gwnode.bgp.routes import Kind, Route
from gwnode.bgp.sessions import Connectivity, Session
from gwnode.bgp.show import shown, text, with_names
from lab.cli.bgp import refuse_without_routers
from lab.engine.observe import StandingNode
from lab.errors import LabError, UsageError


def test_a_node_without_compartments_is_refused() -> None:
    refuse_without_routers(StandingNode("gw01", "gateway", "x-gw01", "running", "fabric"))
    with pytest.raises(UsageError, match="hv01 is a host"):
        refuse_without_routers(StandingNode("hv01", "host", "x-hv01", "running", "fabric"))


def test_a_tenant_that_is_not_here_is_said_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "blue.bird").touch()
    with pytest.raises(LabError) as caught:
        shown(tmp_path, "../red", Kind.ALL)
    assert caught.value.problems[0].expected == "one of blue"
    with pytest.raises(LabError, match="does not answer"):
        shown(tmp_path, "blue", Kind.ALL)


def test_the_tables() -> None:
    session = Session("peer_a", Connectivity.CONNECTING, 0, "the peer does not answer", "192.168.50.1", 64521)
    route = Route(
        prefix="192.168.50.0/24",
        protocol="peer_a",
        best=True,
        reachable=True,
        damped=True,
        next_hop="192.168.50.1",
        origin="IGP",
        as_path=(64521, 7),
        med=0,
        communities=("64512:1", "1:2"),
    )
    own = Route("10.0.0.0/24", "offered", best=True, reachable=False, damped=False)
    routes = with_names([route, own], [session])
    assert text({"peers": [session.to_json()], "routes": [r.to_json() for r in routes]}) == (
        "peers: 1\n"
        "  PEER          ASN    STATE       SINCE                 HOLD  ERROR\n"
        "  192.168.50.1  64521  Connecting  1970-01-01 00:00:00Z  -     the peer does not answer\n"
        "\n"
        "statistics: 1\n"
        "  PEER          FAMILY  UPDATES RECEIVED  UPDATES SENT  WITHDRAWALS RECEIVED  WITHDRAWALS SENT"
        "  IMPORTED  FILTERED  EXPORTED\n"
        "  192.168.50.1  IPv4    0                 0             0                     0               "
        "  0         0         0\n"
        "\n"
        "routes: 2\n"
        "  NETWORK          FROM          STATUS       NEXT HOP      LOCAL PREF  MED  PATH     COMMUNITIES"
        "  ORIGIN\n"
        "  192.168.50.0/24  192.168.50.1  best damped  192.168.50.1  -           0    64521 7  64512:1 1:2"
        "  IGP\n"
        "  10.0.0.0/24      offered       best         -             -           -    -        -          "
        "  -\n"
    ).rstrip("\n")

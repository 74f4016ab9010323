"""BIRD's configuration for one tenant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.southbound import southbound_pb2 as pb

DEFAULT_HOLD_TIME_S = 180
"""HoldTime of Add-BgpPeer."""
KEEPALIVES_PER_HOLD_TIME = 3
MARTIANS = tuple(
    IPv4Network(prefix) for prefix in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)
"""Prefixes that no router may offer (RFC 6890)."""


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What BIRD is told.

    Attributes:
        address: the compartment's CA: source of the sessions, next hop of what is offered.
        asn: the tenant's AS number.
        router_id: BGP identifier.
        networks: prefixes offered to all peers.
        refused: prefixes that no peer may offer, nor parts of them: the tenant's own subnets, the provider's
            networks, the way to the site itself.
        peers: the sites' routers.
        max_prefixes: so many are taken from one peer.
    """

    address: IPv4Address
    asn: int
    router_id: IPv4Address
    networks: Sequence[IPv4Network]
    refused: Sequence[IPv4Network]
    peers: Sequence[pb.BgpPeer]
    max_prefixes: int


def protocol_name(address: str) -> str:
    """BIRD's name for the session with a peer; an address is unique among the peers of a router."""
    return "peer_" + address.replace(".", "_")


def render(config: RouterConfig) -> str:
    """The file's text.

    - Kernel routes of the tunnels are learned, so that a next hop behind a connection that is down is
      unreachable and so are the routes through it. Only routes from BGP are written to the kernel; they stay
      there while BIRD restarts (`persist`, and `graceful restart` before it clears what it left).
    - A default route is refused: whether a site may be the tenant's way to everything is the hoster's policy.
    """
    refused = ",\n    ".join(f"{prefix}+" for prefix in sorted({*config.refused, *MARTIANS}))
    networks = "".join(f"  route {network} unreachable;\n" for network in config.networks)
    peers = "\n".join(_peer(peer) for peer in config.peers)
    return f"""\
log stderr {{ info, remote, warning, error, auth, fatal, bug }};
router id {config.router_id};
timeformat protocol iso long;
graceful restart wait 20;

define REFUSED = [
    {refused}
];

filter incoming {{
  if net = 0.0.0.0/0 then reject "default route";
  if net ~ REFUSED then reject "not the site's to offer: ", net;
  accept;
}}

protocol device {{
}}

protocol kernel {{
  learn;
  persist;
  ipv4 {{
    import all;
    export filter {{
      if source != RTS_BGP then reject;
      krt_prefsrc = {config.address};
      accept;
    }};
  }};
}}

protocol static offered {{
  ipv4;
{networks}}}

template bgp site {{
  local {config.address} as {config.asn};
  multihop;
  graceful restart on;
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 4;
  ipv4 {{
    import filter incoming;
    import limit {config.max_prefixes} action block;
    export where proto = "offered";
    next hop self;
  }};
}}

{peers}"""


def _peer(peer: pb.BgpPeer) -> str:
    hold_time_s = peer.hold_time_s or DEFAULT_HOLD_TIME_S
    return f"""\
protocol bgp {protocol_name(peer.address)} from site {{
  neighbor {peer.address} as {peer.asn};
  hold time {hold_time_s};
  keepalive time {max(1, hold_time_s // KEEPALIVES_PER_HOLD_TIME)};
}}
"""

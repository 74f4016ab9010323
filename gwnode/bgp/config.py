"""BIRD's configuration for one tenant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from gwnode.bgp.family import FAMILIES, IPV4, IPV6, SHORTEST, Family
from gwnode.bgp.policies import statements
from lab.prefixes import Network
from lab.southbound import southbound_pb2 as pb

DEFAULT_HOLD_TIME_S = 180
"""HoldTime of Add-BgpPeer."""
KEEPALIVES_PER_HOLD_TIME = 3
DAMPED_PREFERENCE = 0
"""What a damped route is marked with: it stays in the table, so that its flaps are still seen, and loses
against every other."""
LEARNED_PREFERENCE = 1
OWN_PREFERENCE = 65535
DEFAULT_WEIGHT = 32768
"""Weight of Add-BgpPeer."""
MULTIPATH_LIMIT = 16
FLAPS_LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What BIRD is told.

    Attributes:
        address: the compartment's CA: source of the sessions, next hop of what is offered.
        address6: next hop of what is offered of IPv6; None: IPv6 is neither offered nor taken.
        asn: the tenant's AS number.
        router_id: BGP identifier.
        networks: prefixes offered to all peers.
        refused: prefixes that no peer may offer, nor parts of them, whatever a policy says: the tenant's own
            subnets, the provider's networks, the way to the site itself.
        peers: the sites' routers.
        max_prefixes: so many are taken from a peer that has no limit of its own.
        route_reflector: what one internal peer offers goes to the others (RFC 4456).
        cluster_id: of the reflector; None: its BGP identifier.
        ecmp: equally good routes share the traffic.
        transit: what one external peer offers goes to the others.
        summarised: prefixes of which peers are not offered the parts.
        aggregates: those that stand now, each with the AS numbers that it shows.
        damped: for a peer's address, prefixes of its that are suppressed.
        flaps: where BIRD writes down what the peers' routes do; None: nobody asks.
    """

    address: IPv4Address
    asn: int
    router_id: IPv4Address
    networks: Sequence[Network]
    refused: Sequence[Network]
    peers: Sequence[pb.BgpPeer]
    max_prefixes: int
    route_reflector: bool = False
    cluster_id: IPv4Address | None = None
    ecmp: bool = False
    transit: bool = False
    summarised: Sequence[Network] = ()
    aggregates: Mapping[Network, Sequence[int]] = field(default_factory=dict)
    damped: Mapping[str, Collection[str]] = field(default_factory=dict)
    flaps: Path | None = None
    address6: IPv6Address | None = None

    @property
    def families(self) -> tuple[Family, ...]:
        """What its sessions carry."""
        return (IPV4, IPV6) if self.address6 else (IPV4,)

    def local(self, family: Family) -> IPv4Address | IPv6Address | None:
        """The router's own address of a family."""
        return self.address if family is IPV4 else self.address6

    def internal(self) -> list[pb.BgpPeer]:
        """Peers of the tenant's own AS (iBGP)."""
        return [peer for peer in self.peers if peer.asn == self.asn]


def protocol_name(address: str) -> str:
    """BIRD's name for the session with a peer; an address is unique among the peers of a router."""
    return "peer_" + address.replace(".", "_")


def render(config: RouterConfig) -> str:
    """The file's text.

    - Kernel routes of the tunnels are learned, so that a next hop behind a connection that is down is
      unreachable and so are the routes through it. Only routes from BGP are written to the kernel, and
      aggregates, as unreachable: what they promise beyond their parts must not wander. They stay there while
      BIRD restarts (`persist`, and `graceful restart` before it clears what it left).
    - A peer's weight is BIRD's preference: compared before anything that BGP compares.
    - `import table` keeps what a peer offered as it offered it, so that a policy that changes, or a prefix
      that is damped, needs no peer that could say it again. So the limit is on what is received: a limit on
      what is imported would leave that table without one.

    Raises:
        ValueError: a policy holds what BIRD would not understand.
    """
    peers = "\n".join(_peer(config, peer) for peer in config.peers)
    return f"""\
log stderr {{ info, remote, warning, error, auth, fatal, bug }};
{_flaps(config)}router id {config.router_id};
timeformat log iso long ms;
timeformat protocol iso long;
graceful restart wait 20;

{"".join(_refused(config, family) for family in config.families)}
protocol device {{
}}

{chr(10).join(_tables(config, family) for family in FAMILIES)}
template bgp site {{
  local {config.address} as {config.asn};
  multihop;
  graceful restart on;
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 4;
}}

{peers}"""


def _flaps(config: RouterConfig) -> str:
    """BIRD turns the file over itself when it is full."""
    if config.flaps is None:
        return ""
    return f'log "{config.flaps}" {FLAPS_LIMIT_BYTES} "{old_flaps(config.flaps)}" {{ trace }};\n'


def old_flaps(flaps: Path) -> Path:
    """Where BIRD keeps the file of flaps before the current one."""
    return flaps.with_suffix(".old")


def _refused(config: RouterConfig, family: Family) -> str:
    prefixes = family.ordered({*config.refused, *family.martians})
    lines = (f"{family.default_route}{{1,{SHORTEST - 1}}}", *(f"{prefix}+" for prefix in prefixes))
    return f"define {family.refused} = [\n    {f',{chr(10)}    '.join(lines)}\n];\n"


def _tables(config: RouterConfig, family: Family) -> str:
    """What there is of a family besides the sessions."""
    if family not in config.families:
        return _kernel(family, "none")
    networks = "".join(f"  route {network} unreachable;\n" for network in family.of(config.networks))
    chosen = f"""\
filter {{
      if proto = "{family.aggregates}" then accept;
      if source != RTS_BGP || preference = {DAMPED_PREFERENCE} then reject;
      krt_prefsrc = {config.local(family)};
      accept;
    }}"""
    return f"""\
{_kernel(family, chosen, f"  merge paths on limit {MULTIPATH_LIMIT};{chr(10)}" if config.ecmp else "")}
protocol static {family.offered} {{
  {family.channel} {{ preference {OWN_PREFERENCE}; }};
{networks}}}
{_aggregates(config, family)}"""


def _kernel(family: Family, exported: str, paths: str = "") -> str:
    """There for a family that is not carried, too: what BIRD has written to the kernel before goes."""
    return f"""\
protocol kernel {{
  learn;
  persist;
{paths}\
  {family.channel} {{
    preference {LEARNED_PREFERENCE};
    import all;
    export {exported};
  }};
}}
"""


def _aggregates(config: RouterConfig, family: Family) -> str:
    aggregates = family.ordered(config.aggregates)
    if not aggregates:
        return ""
    routes = "".join(
        f"  route {prefix} unreachable{_path(config.aggregates[prefix])};\n" for prefix in aggregates
    )
    return f"""
protocol static {family.aggregates} {{
  {family.channel} {{ preference {OWN_PREFERENCE}; }};
{routes}}}
"""


def _path(numbers: Sequence[int]) -> str:
    """AS numbers of the parts, in order."""
    prepends = "".join(f" bgp_path.prepend({number});" for number in reversed(numbers))
    return f" {{{prepends} }}" if prepends else ""


def _peer(config: RouterConfig, peer: pb.BgpPeer) -> str:
    name = protocol_name(peer.address)
    hold_time_s = peer.hold_time_s or DEFAULT_HOLD_TIME_S
    options = [
        f"neighbor {peer.address} as {peer.asn};",
        f"hold time {hold_time_s};",
        f"keepalive time {max(1, hold_time_s // KEEPALIVES_PER_HOLD_TIME)};",
    ]
    if peer.idle_hold_time_s:
        options.append(f"error wait time {peer.idle_hold_time_s}, {peer.idle_hold_time_s};")
    if peer.passive:
        options.append("passive on;")
    if peer.stopped:
        options.append("disabled;")
    if config.route_reflector and peer.route_reflector_client:
        options.append("rr client;")
        if config.cluster_id:
            options.append(f"rr cluster id {config.cluster_id};")
    if config.flaps is not None and peer.asn != config.asn:
        options.append("debug { states, routes, filters };")
    filters = "\n".join(_filters(config, peer, family) for family in config.families)
    channels = "".join(_channel(config, peer, family) for family in config.families)
    return f"""\
{filters}
protocol bgp {name} from site {{
{_lines(options)}{channels}}}
"""


def _filters(config: RouterConfig, peer: pb.BgpPeer, family: Family) -> str:
    name = f"{protocol_name(peer.address)}{family.suffix and '_'}{family.suffix}"
    return f"""\
filter from_{name} {{
{_lines(_import(config, peer, family))}}}

filter to_{name} {{
{_lines(_export(config, peer, family))}}}
"""


def _channel(config: RouterConfig, peer: pb.BgpPeer, family: Family) -> str:
    """A session over IPv4 has no address that it could offer as the next hop of IPv6 (RFC 4760 §3)."""
    name = f"{protocol_name(peer.address)}{family.suffix and '_'}{family.suffix}"
    next_hop = "" if family is IPV4 else f"    next hop address {config.local(family)};\n"
    return f"""\
  {family.channel} {{
{next_hop}    import table on;
    receive limit {peer.max_prefixes or config.max_prefixes} action block;
    import filter from_{name};
    export filter to_{name};
  }};
"""


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


def _import(config: RouterConfig, peer: pb.BgpPeer, family: Family) -> list[str]:
    lines = [f'if net ~ {family.refused} then reject "not the site\'s to offer: ", net;']
    # Said by the filter, not the channel: BIRD looks at its routes again when a filter has changed.
    weight = peer.weight or DEFAULT_WEIGHT
    lines.append(f"preference = {max(LEARNED_PREFERENCE + 1, min(OWN_PREFERENCE - 1, weight))};")
    if damped := family.prefixes(config.damped.get(peer.address, ())):
        lines.append(f"if net ~ [ {', '.join(sorted(damped))} ] then preference = {DAMPED_PREFERENCE};")
    return [*lines, *statements(peer.inbound, family, inbound=True)]


def _export(config: RouterConfig, peer: pb.BgpPeer, family: Family) -> list[str]:
    own = f'proto = "{family.offered}" || proto = "{family.aggregates}"'
    internal = peer.asn == config.asn
    sources = [protocol_name(item.address) for item in config.internal()]
    from_internal = " || ".join(f'proto = "{name}"' for name in sources)
    forwarded = ""
    if config.transit or (config.route_reflector and internal):
        forwarded = f"source = RTS_BGP && preference > {DAMPED_PREFERENCE} && dest != RTD_UNREACHABLE"
    elif config.route_reflector and from_internal:
        # Only between external peers would it be transit.
        forwarded = f"({from_internal}) && dest != RTD_UNREACHABLE"
    lines = [f"if ! ({own}{f' || ({forwarded})' if forwarded else ''}) then reject;"]
    bits = family.bits
    summarised = [net for net in family.of(config.summarised) if net.prefixlen < bits]
    if parts := [f"{net}{{{net.prefixlen + 1},{bits}}}" for net in summarised]:
        lines.append(f'if proto != "{family.aggregates}" && net ~ [ {", ".join(parts)} ] then reject;')
    if internal:
        # What comes from outside is reached through this router; a reflector changes nothing (RFC 4456 §10).
        lines.append(f"if ! ({from_internal}) then bgp_next_hop = {config.local(family)};")
    return [*lines, *statements(peer.outbound, family, inbound=False)]

"""A tenant's BGP router and its sites' routers, in namespaces: BIRD against BIRD, without tunnels.

vm            10.0.2.1/29
|
router        10.0.2.2; what is tested
|    |   |
one two ...   10.9.N.2, each behind a veth; BIRD with static routes

With IPv6: the router is fd00:2::2, its sites fd09:N::2. The sessions are over IPv4 all the same.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

from gwnode.bgp.config import RouterConfig, protocol_name
from gwnode.bgp.control import Bird
from gwnode.bgp.router import Observed, Router, RouterFiles
from gwnode.bgp.routes import Route, routes
from gwnode.bgp.sessions import Session
from gwnode.netns import Namespace
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

ROUTER_ASN = 64512
ROUTER = "10.0.2.2"
NEIGHBOUR = "10.0.2.5"
"""An address that the router could reach in its own subnet."""
ROUTER6 = "fd00:2::2"
NEIGHBOUR6 = "fd00:2::5"
HOLD_TIME_S = 9
SOON_S = 15.0


@dataclass(frozen=True)
class Offer:
    """A route that a site offers.

    Attributes:
        prefix: where it leads to.
        path: AS numbers beyond the site's own.
        communities: as 64512:100.
        med: None: it has none.
    """

    prefix: str
    path: tuple[int, ...] = ()
    communities: frozenset[str] = frozenset()
    med: int | None = None

    def statement(self) -> str:
        """As one of BIRD's static routes."""
        words = [f"bgp_path.prepend({number});" for number in reversed(self.path)]
        words += [f"bgp_community.add(({c.replace(':', ',')}));" for c in sorted(self.communities)]
        words += [f"bgp_med = {self.med};"] if self.med is not None else []
        return f"  route {self.prefix} unreachable {{ {' '.join(words)} }};\n"


@dataclass
class Site:
    """A router of the customer's."""

    number: int
    asn: int
    offers: tuple[Offer, ...] = ()
    local_asn: int = 0
    ipv6: bool = False

    @property
    def address6(self) -> str:
        """Next hop of what it offers of IPv6."""
        return f"fd09:{self.number}::2"

    @property
    def name(self) -> str:
        """Of its namespace."""
        return f"site{self.number}"

    @property
    def address(self) -> str:
        """Where its BGP router is."""
        return f"10.9.{self.number}.2"

    @property
    def protocol(self) -> str:
        """BIRD's name for the session, at the tenant's router."""
        return protocol_name(self.address)

    def peer(self) -> pb.BgpPeer:
        """As the goal state says it."""
        return pb.BgpPeer(
            name=self.name, address=self.address, asn=self.local_asn or self.asn, hold_time_s=HOLD_TIME_S
        )

    def config(self) -> str:
        """BIRD's."""
        return f"""\
log stderr all;
router id {self.address};
protocol device {{ }}
{self._tables("ipv4", 4)}{self._tables("ipv6", 6) if self.ipv6 else ""}
protocol bgp cloud {{
  local {self.address} as {self.asn};
  neighbor {ROUTER} as {ROUTER_ASN};
  multihop;
  hold time {HOLD_TIME_S};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
{self._channel("ipv4", "")}
{self._channel("ipv6", f"next hop address {self.address6};") if self.ipv6 else ""}
}}
"""

    def _tables(self, channel: str, version: int) -> str:
        routes = "".join(o.statement() for o in self.offers if ip_network(o.prefix).version == version)
        return f"""
protocol kernel {{ learn; {channel} {{ import all; export none; }}; }}
protocol static offered{version} {{
  {channel};
{routes}}}
"""

    def _channel(self, channel: str, next_hop: str) -> str:
        return f"""\
  {channel} {{
    {next_hop}
    import all;
    export filter {{
      if proto != "offered4" && proto != "offered6" then reject;
      # BIRD gives on no MED but its own filter's.
      if defined(bgp_med) then bgp_med = bgp_med;
      accept;
    }};
  }};"""


@dataclass
class BgpWorld:
    """The namespaces and daemons of one test.

    Attributes:
        folder: everything stands below it.
        router: what is tested.
    """

    folder: Path
    router: Router
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    config: RouterConfig = field(
        default=RouterConfig(
            address=IPv4Address(ROUTER),
            asn=ROUTER_ASN,
            router_id=IPv4Address(ROUTER),
            networks=(IPv4Network("10.0.0.0/24"), IPv6Network("fd00:1::/64")),
            refused=(
                *(IPv4Network("10.0.0.0/24"), IPv4Network("10.0.2.0/29")),
                *(IPv6Network("fd00:1::/64"), IPv6Network("fd00:2::/64")),
            ),
            peers=(),
            max_prefixes=1000,
        )
    )

    def path(self, name: str) -> Path:
        """Where a namespace stands."""
        return self.folder / "netns" / name

    def run(self, name: str, *words: str) -> str:
        """Run a command in a namespace to its end."""
        command = ["nsenter", f"--net={self.path(name)}", *words]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{name}: {words}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def start(self, name: str, *words: str) -> None:
        """Start a daemon in a namespace."""
        with (self.folder / f"{name}.log").open("ab") as log:
            command = ["nsenter", f"--net={self.path(name)}", *words]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def build(self, sites: Iterable[Site]) -> None:
        """Namespaces, links, addresses and routes; the sites' daemons."""
        for name in ("router", "vm"):
            Namespace(self.path(name)).ensure()
        self._wire("router", "ca0", "vm", "eth0")
        self.run("router", "ip", "address", "add", f"{ROUTER}/29", "dev", "ca0")
        self.run("router", "ip", "address", "add", f"{ROUTER6}/64", "dev", "ca0", "nodad")
        for site in sites:
            self.build_site(site)
            self.write(site)
            self.start(site.name, *self._bird(site.name))

    def build_site(self, site: Site) -> None:
        """A site without its daemon."""
        Namespace(self.path(site.name)).ensure()
        self._wire("router", f"s{site.number}", site.name, "wan0")
        self.run(site.name, "ip", "address", "add", f"{site.address}/32", "dev", "wan0")
        self.run(site.name, "ip", "route", "add", f"{ROUTER}/32", "dev", "wan0")
        # As an IPsec tunnel's: a device that leads to one other end.
        self.run("router", "ip", "route", "add", f"{site.address}/32", "dev", f"s{site.number}")
        self.run(site.name, "ip", "address", "add", f"{site.address6}/128", "dev", "wan0", "nodad")
        self.run(site.name, "ip", "route", "add", f"{ROUTER6}/128", "dev", "wan0")
        self.run("router", "ip", "route", "add", f"{site.address6}/128", "dev", f"s{site.number}")

    def write(self, site: Site) -> None:
        """A site's configuration."""
        (self.folder / f"{site.name}.conf").write_text(site.config())

    def offer(self, site: Site, *offers: Offer) -> None:
        """Let a site offer exactly this from now on."""
        site.offers = offers
        self.write(site)
        with Bird(self.folder / f"{site.name}.ctl") as bird:
            bird.command("configure")

    def start_router(self, *peers: pb.BgpPeer, wanted: pb.BgpRouter | None = None) -> None:
        """The router under test, with its peers."""
        self.apply(*peers, wanted=wanted)
        files = self.router.files
        self.start("router", "bird", "-f", "-c", str(files.config), "-s", str(files.socket))

    def apply(self, *peers: pb.BgpPeer, wanted: pb.BgpRouter | None = None) -> None:
        """Have the router as desired."""
        wanted = wanted or pb.BgpRouter()
        self.config = replace(
            self.config,
            peers=peers,
            ecmp=wanted.ecmp,
            transit=wanted.transit_routing,
            route_reflector=wanted.route_reflector,
            address6=IPv6Address(wanted.local_ipv6_address) if wanted.local_ipv6_address else None,
        )
        self.router.apply(self.config, wanted)

    def observed(self) -> Observed:
        """What the router says of itself, now."""
        return self.router.look()

    def session(self, site: Site) -> Session:
        """The router's session with a site."""
        found = [s for s in self.observed().sessions if s.protocol == site.protocol]
        assert found, "BIRD does not answer"
        return found[0]

    def offered_by(self, *sites: Site) -> dict[str, Route]:
        """The router's routes that came from sites, by prefix."""
        names = {site.protocol for site in sites}
        return {route.prefix: route for route in self.observed().routes if route.protocol in names}

    def at(self, site: Site) -> dict[str, Route]:
        """What a site has learned from the router, by prefix."""
        try:
            with Bird(self.folder / f"{site.name}.ctl") as bird:
                found = routes(bird.command('show route all where proto = "cloud"'))
        except OSError:  # it has not started yet
            found = []
        return {route.prefix: route for route in found}

    def kernel_routes(self) -> dict[str, str]:
        """The router's BGP routes in its kernel, and what stands behind their prefix."""
        lines = [
            line
            for version in ("-4", "-6")
            for line in self.run("router", "ip", version, "-o", "route", "show", "proto", "bird").splitlines()
        ]
        words = (line.removeprefix("unreachable ").partition(" ") for line in lines)
        return {str(ip_network(prefix)): rest.strip() for prefix, _, rest in words}

    def close(self) -> None:
        """End our processes, and remove the namespaces."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)
        for path in (self.folder / "netns").glob("*"):
            Namespace(path).remove()

    def _bird(self, name: str) -> Sequence[str]:
        folder = self.folder
        return ("bird", "-f", "-c", str(folder / f"{name}.conf"), "-s", str(folder / f"{name}.ctl"))

    def _wire(self, one: str, interface: str, other: str, peer: str) -> None:
        words = ("name", peer, "netns", str(self.path(other)))
        self.run(one, "ip", "link", "add", interface, "type", "veth", "peer", *words)
        for name, device in ((one, interface), (other, peer)):
            self.run(name, "ip", "link", "set", "lo", "up")
            self.run(name, "ip", "link", "set", device, "up")


Build = Callable[..., BgpWorld]
"""Makes a world of some sites, which goes with the test: the fixture `build`."""


@contextmanager
def bgp_world(folder: Path, *sites: Site) -> Iterator[BgpWorld]:
    """A world for the time of a test."""
    assert os.geteuid() == 0
    files = RouterFiles(folder / "router.conf", folder / "router.bird", folder / "router.flaps.log")
    world = BgpWorld(folder, Router(files))
    try:
        world.build(sites)
        yield world
    finally:
        world.close()


def offered(world: BgpWorld, prefixes: set[str], *sites: Site) -> None:
    """Wait until exactly these prefixes of some sites are in the router's tables."""

    def same() -> None:
        assert set(world.offered_by(*sites)) == prefixes

    eventually(same, SOON_S)


def arrived(world: BgpWorld, site: Site, prefixes: set[str]) -> None:
    """Wait until a site has learned exactly these; the router looks meanwhile, as its agent does."""

    def same() -> None:
        world.observed()
        assert set(world.at(site)) == prefixes

    eventually(same, SOON_S)

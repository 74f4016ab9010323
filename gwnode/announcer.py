"""The gateway's own BGP router, in the default compartment: it tells the front end's routers which public
addresses are this gateway's.

The product's gateway announces its GRE VIP (RAS Gateway High Availability); its other public addresses are
announced by the load balancer, which a lab need not have.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from gwnode.bgp.control import configure
from gwnode.files import write_if_changed
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.southbound import southbound_pb2 as pb

SERVICE = "announcer"
HOLD_TIME_S = 9
"""A router learns in this time that a gateway is gone; three keepalives fit into it."""


@dataclass(frozen=True, slots=True)
class AnnouncerFiles:
    """Where BIRD finds what it reads, and is found."""

    config: Path
    socket: Path

    @classmethod
    def of(cls, settings: Settings) -> AnnouncerFiles:
        """The files of this node."""
        # No tenant can be called so.
        return cls(settings.state / "%front-end.bird.conf", settings.state / "%front-end.bird")

    def remove(self) -> None:
        """Take them away."""
        for path in (self.config, self.socket):
            path.unlink(missing_ok=True)


def bird_config(router: pb.FrontEndRouter, own: IPv4Address, public: Collection[IPv4Address]) -> str:
    """What BIRD is told: to announce single addresses, and to learn nothing. Pure.

    Parameters:
        router: as in the record.
        own: the gateway's address on the front-end network.
        public: addresses that are this gateway's.
    """
    routes = "".join(f"  route {address}/32 unreachable;\n" for address in sorted(public))
    peers = "".join(
        f"""
protocol bgp peer_{peer.address.replace(".", "_")} from front_end {{
  neighbor {peer.address} as {peer.asn};
}}
"""
        for peer in router.peers
    )
    return f"""\
log stderr {{ info, remote, warning, error, auth, fatal, bug }};
router id {own};
timeformat protocol iso long;

protocol device {{
}}

protocol static announced {{
  ipv4;
{routes}}}

template bgp front_end {{
  local {own} as {router.asn};
  direct;
  hold time {HOLD_TIME_S};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 4;
  ipv4 {{
    import none;
    export where proto = "announced";
    next hop self;
  }};
}}
{peers}"""


def ensure(
    settings: Settings,
    supervisor: Supervisor,
    router: pb.FrontEndRouter | None,
    own: IPv4Address | None,
    public: Collection[IPv4Address],
) -> None:
    """Have the router announce exactly these addresses.

    Parameters:
        settings: of the node.
        supervisor: where BIRD is supervised.
        router: None: there shall be none.
        own: the gateway's address on the front-end network; None: it has none, and announces nothing.
        public: addresses that are this gateway's.

    Raises:
        OSError, CalledProcessError, BirdError: something could not be done.
    """
    files = AnnouncerFiles.of(settings)
    if router is None or own is None:
        supervisor.remove(SERVICE)
        files.remove()
        return
    write_if_changed(files.config, bird_config(router, own, public))
    command = ("bird", "-f", "-c", str(files.config), "-s", str(files.socket))
    supervisor.ensure(Service(SERVICE, command))
    # Always: who has written the file may have ended before BIRD read it.
    configure(files.socket)

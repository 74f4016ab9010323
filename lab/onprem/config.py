"""What a site's daemons are told. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.ipsec.esp import EspBackend
from lab.ipsec.proposals import OFFERED_ESP, OFFERED_IKE
from lab.ipsec.strongswan import CharonConfig, Timers
from lab.ipsec.tunnel import Tunnel
from lab.model.lab import SITE_PATH, SiteConfig

WAN = "wan0"
TUNNEL_DEVICE = "ipsec0"
XFRM_IF_ID = 1
CONNECTION = "cloud"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a site's services find each other.

    Attributes:
        site: the site's configuration, left there by the engine.
        state: sockets and rendered configuration files.
    """

    site: Path = SITE_PATH
    state: Path = Path("/run/hnvlab")

    @property
    def vici(self) -> Path:
        """charon's VICI socket."""
        return self.state / "charon.vici"

    @property
    def causes(self) -> Path:
        """charon's log file of causes."""
        return self.state / "charon.log"

    @property
    def strongswan(self) -> Path:
        """strongswan.conf."""
        return self.state / "strongswan.conf"

    @property
    def exabgp(self) -> Path:
        """ExaBGP's configuration."""
        return self.state / "exabgp.conf"


def charon_config(paths: Paths, backend: EspBackend) -> CharonConfig:
    """The site's charon speaks IKE on the WAN only."""
    return CharonConfig(vici_socket=paths.vici, log=paths.causes, backend=backend, interfaces=(WAN,))


def tunnel(site: SiteConfig, backend: EspBackend) -> Tunnel:
    """The connection to the hoster: always up, called again whenever it falls.

    The site offers everything that Microsoft's words can name; the gateway's policy chooses.
    """
    return Tunnel(
        name=CONNECTION,
        local=site.wan_address,
        remote=site.vip,
        local_id=site.wan_address,
        remote_id=site.vip,
        secret=site.shared_secret,
        ike_proposals=OFFERED_IKE,
        esp_proposals=OFFERED_ESP,
        backend=backend,
        initiator=True,
        dpd_delay_s=Timers().dpd_delay_s,
        if_id=XFRM_IF_ID if backend is EspBackend.KERNEL else 0,
    )


def exabgp_config(site: SiteConfig, routes_command: Sequence[str]) -> str:
    """exabgp.conf: one neighbour, the tenant's compartment; the site offers its LAN.

    The site waits to be called: the compartment tries every second, while ExaBGP would fall back to ever
    longer pauses for as long as the tunnel is not yet there.

    Parameters:
        routes_command: the program that receives what the neighbour offers, as lines of JSON.
    """
    return f"""\
process routes {{
    run {shlex.join(routes_command)};
    encoder json;
}}

neighbor {site.compartment_address} {{
    router-id {site.router_id};
    local-address {site.lan_router};
    local-as {site.local_asn};
    peer-as {site.peer_asn};
    hold-time {site.hold_time_s};
    passive true;

    family {{
        ipv4 unicast;
    }}

    static {{
        route {site.lan_prefix} next-hop self;
    }}

    api {{
        processes [ routes ];
        neighbor-changes;
        receive {{
            parsed;
            update;
        }}
    }}
}}
"""


def exabgp_environment(site: SiteConfig) -> dict[str, str]:
    """For a process that is root in its own container, and whose only peer is known."""
    return {
        "exabgp_daemon_user": "root",
        "exabgp_daemon_drop": "false",
        # No named pipes: nobody speaks to this ExaBGP but the program of its configuration.
        "exabgp_api_cli": "false",
        "exabgp_api_ack": "false",
        "exabgp_log_destination": "stdout",
        "exabgp_log_level": "INFO",
        "exabgp_bgp_openwait": "5",
        "exabgp_tcp_bind": site.lan_router,
        "exabgp_tcp_port": "179",
    }

"""What a customer's BGP router is told. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Protocol

from lab.model.edge import Ipv6End


class Speaker(Protocol):
    """Whose BGP router it is; `SiteConfig` and `EdgeConfig` say what each of them is."""

    @property
    def lan_prefix(self) -> str: ...

    @property
    def lan_router(self) -> str: ...

    @property
    def router_id(self) -> str: ...

    @property
    def local_asn(self) -> int: ...

    @property
    def peer_asn(self) -> int: ...

    @property
    def compartment_address(self) -> str: ...

    @property
    def hold_time_s(self) -> int: ...

    @property
    def carried(self) -> Mapping[str, int]: ...

    @property
    def ipv6(self) -> Ipv6End | None: ...


def exabgp_config(site: Speaker, routes_command: Sequence[str]) -> str:
    """exabgp.conf: one neighbour, the tenant's compartment; the site offers its LAN, and that of IPv6.

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
{"        ipv6 unicast;" + chr(10) if site.ipv6 else ""}\
    }}

    static {{
        route {site.lan_prefix} next-hop self;
{_carried(site)}{_ipv6(site.ipv6)}    }}

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


def _carried(site: Speaker) -> str:
    """What is another AS's shows both on its path, so that the way to that AS itself is the shorter."""
    return "".join(
        f"        route {prefix} next-hop self as-path [ {site.local_asn} {asn} ];\n"
        for prefix, asn in site.carried.items()
    )


def _ipv6(end: Ipv6End | None) -> str:
    """A session over IPv4 says by itself of no next hop of IPv6."""
    return f"        route {end.lan_prefix} next-hop {end.lan_router};\n" if end else ""


def exabgp_environment(site: Speaker) -> dict[str, str]:
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

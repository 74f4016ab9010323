"""What a gateway's agent may be told about the node that it runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from lab.ipsec.device import TUNNEL_MTU
from lab.ipsec.strongswan import Timers


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths, addresses and timers; the defaults are those of a gateway's container.

    Attributes:
        lab: name of the lab; part of every mark.
        front_end: interface towards the internet; carries the VIP.
        namespaces: directory of the compartments' namespaces.
        scan: directory that s6-svscan supervises.
        definitions: directory where service directories stand; `scan` holds links to them.
        state: sockets and configuration files.
        transit: range of which each compartment gets a /31 for its front-end pair. 100.64.0.0/10 is meant for
            exactly this (RFC 6598): it is no customer's and not the internet's.
        tunnel_mtu: of ipsec0, in bytes.
        timers: dead-peer detection.
        max_prefixes: so many a BGP peer may offer; more are not taken.
        poll_s: longest time between two looks at BGP, in seconds.
    """

    lab: str
    front_end: str = "fe0"
    namespaces: Path = Path("/run/netns")
    scan: Path = Path("/run/service")
    definitions: Path = Path("/run/hnvlab/services")
    state: Path = Path("/run/hnvlab")
    transit: IPv4Network = field(default=IPv4Network("100.64.0.0/16"))
    tunnel_mtu: int = TUNNEL_MTU
    timers: Timers = field(default_factory=Timers)
    max_prefixes: int = 1000
    poll_s: float = 0.5

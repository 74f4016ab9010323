"""What a road warrior's charon is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.ipsec.dial_in import Caller
from lab.ipsec.esp import EspBackend
from lab.ipsec.paths import CharonPaths
from lab.ipsec.strongswan import CALLER_PLUGINS, CERTIFICATE_PLUGINS, EAP_PLUGINS, CharonConfig, Timers
from lab.model.roadwarrior import ROAD_WARRIOR_PATH, RoadWarriorConfig

DEVICE = "ipsec0"
XFRM_IF_ID = 1
CONNECTION = "vpn"


@dataclass(frozen=True, slots=True)
class Paths(CharonPaths):
    """Where a road warrior's services find each other.

    Attributes:
        config: the road warrior's configuration, left there by the engine.
        resolver: the machine's resolv.conf(5).
    """

    config: Path = ROAD_WARRIOR_PATH
    resolver: Path = Path("/etc/resolv.conf")

    @property
    def name_servers(self) -> Path:
        """Where charon writes the name servers that the gateway tells."""
        return self.state / "name-servers.conf"

    @property
    def report(self) -> Path:
        """What is known of the connection, as JSON."""
        return self.state / "vpn.json"


def charon_config(config: RoadWarriorConfig, paths: Paths, backend: EspBackend) -> CharonConfig:
    """charon speaks IKE on the WAN only, and puts the address that it is given on the tunnel's device."""
    return CharonConfig(
        vici_socket=paths.vici,
        log=paths.causes,
        backend=backend,
        interfaces=(config.wan,),
        plugins=(*CERTIFICATE_PLUGINS, *EAP_PLUGINS, *CALLER_PLUGINS),
        virtual_ip_device=DEVICE,
        name_servers=paths.name_servers,
    )


def caller(config: RoadWarriorConfig, backend: EspBackend) -> Caller:
    """The connection to the gateway: always up, called again whenever it falls."""
    return Caller(
        name=CONNECTION,
        server=config.server,
        server_id=config.server_id,
        authority=config.authority,
        backend=backend,
        user=config.user,
        password=config.password,
        certificate=config.certificate,
        key=config.key,
        dpd_delay_s=Timers().dpd_delay_s,
        if_id=XFRM_IF_ID if backend is EspBackend.KERNEL else 0,
    )

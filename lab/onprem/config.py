"""What a site's daemons are told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.ipsec.authentication import MachineCertificate, PreSharedKey
from lab.ipsec.esp import EspBackend
from lab.ipsec.paths import CharonPaths
from lab.ipsec.proposals import OFFERED_ESP, OFFERED_IKE
from lab.ipsec.strongswan import CERTIFICATE_PLUGINS, CharonConfig, Timers
from lab.ipsec.tunnel import Tunnel
from lab.model.lab import SITE_PATH, SiteConfig

WAN, LAN = "wan0", "lan0"
TUNNEL_DEVICE = "ipsec0"
XFRM_IF_ID = 1
CONNECTION = "cloud"


@dataclass(frozen=True, slots=True)
class Paths(CharonPaths):
    """Where a site's services find each other.

    Attributes:
        site: the site's configuration, left there by the engine.
    """

    site: Path = SITE_PATH

    @property
    def exabgp(self) -> Path:
        """ExaBGP's configuration."""
        return self.state / "exabgp.conf"


def charon_config(paths: Paths, backend: EspBackend) -> CharonConfig:
    """The site's charon speaks IKE on the WAN only."""
    return CharonConfig(
        vici_socket=paths.vici,
        log=paths.causes,
        backend=backend,
        interfaces=(WAN,),
        plugins=CERTIFICATE_PLUGINS,
    )


def tunnel(site: SiteConfig, backend: EspBackend) -> Tunnel:
    """The connection to the hoster: always up, called again whenever it falls; or the hoster calls on demand.

    The site offers everything that Microsoft's words can name; the gateway's policy chooses.
    """
    proof = site.certificates
    return Tunnel(
        name=CONNECTION,
        local=site.wan_address,
        remote=site.vip,
        local_id=proof.identity if proof else site.wan_address,
        remote_id=proof.gateway_identity if proof else site.vip,
        authentication=MachineCertificate(proof.certificate, proof.key, proof.authority)
        if proof
        else PreSharedKey(site.shared_secret),
        ike_proposals=OFFERED_IKE,
        esp_proposals=OFFERED_ESP,
        backend=backend,
        initiator=site.calls,
        on_demand=site.on_demand,
        dpd_delay_s=Timers().dpd_delay_s,
        if_id=XFRM_IF_ID if backend is EspBackend.KERNEL else 0,
    )

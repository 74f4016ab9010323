"""Machine certificates of site-to-site connections. Pure data; for the site's agent standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identities:
    """What the ends of a connection call themselves: names in their certificates."""

    gateway: str
    site: str


@dataclass(frozen=True, slots=True)
class SiteCertificates:
    """What a site proves by certificate, and what it demands of the gateway.

    Attributes:
        issuer: the tenant whose authority issues both ends' certificates.
        identity, gateway_identity: names in the site's own certificate, and in the gateway's.
        authority, certificate, key: the authority's certificate and the site's own, PEM; made when the lab
            comes up.
    """

    issuer: str
    identity: str
    gateway_identity: str
    authority: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)

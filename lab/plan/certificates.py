"""Certificates of tenants' authorities, as intent and containers carry them. Pure: the engine makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lab.model.connections import Ipsec
from lab.model.lab import Lab, SiteConfig
from lab.model.roadwarrior import RoadWarrior, RoadWarriorConfig
from lab.model.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TenantCertificates:
    """What one tenant's authority has issued.

    Attributes:
        authority: its own certificate, PEM.
        issued: by the name that each holds: of gateways, sites and road warriors.
    """

    authority: str
    issued: Mapping[str, Identity] = field(default_factory=dict)


Certificates = Mapping[str, TenantCertificates]
"""By tenant."""


def names_to_issue(lab: Lab, tenant: Tenant) -> tuple[str, ...]:
    """Whom a tenant's authority issues certificates to; none: the tenant has no authority."""
    gateway = tenant.gateway
    found: list[str] = []
    if gateway is not None and gateway.dial_in is not None:
        warriors = (node.road_warrior for node in lab.nodes.values() if node.road_warrior)
        callers = (warrior.name for warrior in warriors if warrior.issuer == tenant.name)
        found += [gateway.dial_in.identity, *callers]
    for connection in gateway.connections if gateway else ():
        if isinstance(connection.kind, Ipsec) and connection.kind.identities:
            found += [connection.kind.identities.gateway, connection.kind.identities.site]
    return tuple(dict.fromkeys(found))


def road_warrior_config(warrior: RoadWarrior, certificates: Certificates) -> RoadWarriorConfig:
    """What a road warrior's daemons are told.

    Raises:
        KeyError: a certificate that it needs has not been made.
    """
    own = certificates[warrior.issuer].issued[warrior.name] if warrior.issuer else None
    return RoadWarriorConfig(
        name=warrior.name,
        server=warrior.server,
        server_id=warrior.server_id,
        authority=certificates[warrior.tenant].authority,
        user=warrior.user,
        password=warrior.password,
        certificate=own.certificate if own else "",
        key=own.key if own else "",
        wan=warrior.wan,
    )


def site_config(site: SiteConfig, certificates: Certificates) -> SiteConfig:
    """What a site's daemons are told, with what was issued to it.

    Raises:
        KeyError: a certificate that it needs has not been made.
    """
    if site.certificates is None:
        return site
    made = certificates[site.certificates.issuer]
    own = made.issued[site.certificates.identity]
    proof = replace(site.certificates, authority=made.authority, certificate=own.certificate, key=own.key)
    return replace(site, certificates=proof)

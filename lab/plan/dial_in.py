"""Certificates of remote access, as intent and containers carry them. Pure: the engine makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.model.roadwarrior import RoadWarrior, RoadWarriorConfig


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DialInCertificates:
    """What one tenant's authority has issued.

    Attributes:
        authority: its own certificate, PEM.
        gateway: the gateway's.
        callers: of road warriors who call by certificate, by node.
    """

    authority: str
    gateway: Identity
    callers: Mapping[str, Identity] = field(default_factory=dict)


def road_warrior_config(
    warrior: RoadWarrior, certificates: Mapping[str, DialInCertificates]
) -> RoadWarriorConfig:
    """What a road warrior's daemons are told.

    Parameters:
        certificates: by tenant.

    Raises:
        KeyError: a certificate that it needs has not been made.
    """
    own = certificates[warrior.issuer].callers[warrior.name] if warrior.issuer else None
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

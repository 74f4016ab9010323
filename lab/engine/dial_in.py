"""Certificates of remote access: an authority for each tenant, so that nobody's machine can call another's
gateway (docs/decisions/0010-dial-in-shape.md)."""

from __future__ import annotations

from pathlib import Path

from lab.engine.pki import NodeTls, Pki
from lab.model.lab import Lab
from lab.plan.dial_in import DialInCertificates, Identity

FOLDER = "dial-in"


def certificates(lab: Lab, directory: Path) -> dict[str, DialInCertificates]:
    """The certificates of every tenant with remote access; those that are there and still good are kept.

    Parameters:
        lab: whose they are.
        directory: of the lab's state.
    """
    warriors = [node.road_warrior for node in lab.nodes.values() if node.road_warrior]
    found: dict[str, DialInCertificates] = {}
    for tenant in lab.tenants:
        access = tenant.gateway.dial_in if tenant.gateway else None
        if access is None:
            continue
        callers = [warrior.name for warrior in warriors if warrior.issuer == tenant.name]
        pki = Pki(directory / FOLDER / tenant.name)
        made = pki.ensure(f"{tenant.name} dial-in", dict.fromkeys((access.identity, *callers), ()))
        found[tenant.name] = DialInCertificates(
            authority=made[access.identity].ca.decode(),
            gateway=_identity(made[access.identity]),
            callers={name: _identity(made[name]) for name in callers},
        )
    return found


def _identity(tls: NodeTls) -> Identity:
    return Identity(tls.certificate.decode(), tls.key.decode())

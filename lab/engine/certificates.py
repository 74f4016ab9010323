"""Certificates of tenants' machines, for remote access and for sites: an authority for each tenant, so that
nobody's machine can call another's gateway (docs/decisions/0010-dial-in-shape.md)."""

from __future__ import annotations

from pathlib import Path

from lab.engine.pki import Pki
from lab.model.lab import Lab
from lab.plan.certificates import Identity, TenantCertificates, names_to_issue

FOLDER = "tenants"


def certificates(lab: Lab, directory: Path) -> dict[str, TenantCertificates]:
    """The certificates of every tenant that needs any; those that are there and still good are kept.

    Parameters:
        lab: whose they are.
        directory: of the lab's state.
    """
    found: dict[str, TenantCertificates] = {}
    for tenant in lab.tenants:
        names = names_to_issue(lab, tenant)
        if not names:
            continue
        made = Pki(directory / FOLDER / tenant.name).ensure(f"tenant {tenant.name}", dict.fromkeys(names, ()))
        found[tenant.name] = TenantCertificates(
            authority=made[names[0]].ca.decode(),
            issued={name: Identity(tls.certificate.decode(), tls.key.decode()) for name, tls in made.items()},
        )
    return found

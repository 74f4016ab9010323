"""How a site-to-site connection's ends authenticate: one way, whole, and such that both can connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.controller.catalog import Path
from lab.controller.certificates import check_authority, check_own
from lab.controller.models_connection import MACHINE_CERTIFICATES, PSK, IpsecConfiguration
from lab.controller.refusals import Complaint, invalid
from lab.errors import LabError
from lab.ipsec.authentication import MachineCertificate, authentication

_OWN: Mapping[str, tuple[str, ...]] = {
    PSK: ("shared_secret",),
    MACHINE_CERTIFICATES: (
        "certificate",
        "private_key",
        "ca_certificate",
        "identity",
        "remote_identity",
    ),
}
"""What each method needs; what is another's, it has not."""


def check_authentication(
    at: Path, ipsec: IpsecConfiguration, stored: IpsecConfiguration | None
) -> Iterator[Complaint]:
    """The rules of `authenticationMethod` and what belongs to it.

    Args:
        at: path of the connection.
        ipsec: how it is to be protected.
        stored: how it is now; None: not by IPsec, or it is new.
    """
    method, amiss = ipsec.authentication_method, False
    for owner, fields in _OWN.items():
        for name in fields:
            field, given = IpsecConfiguration.model_fields[name].alias, bool(getattr(ipsec, name))
            if given != (owner == method):
                amiss = True
                verb = "needs" if owner == method else "has no"
                hint = "" if owner == method else f": leave it out, or choose '{owner}'"
                yield invalid(
                    f"An IPsec connection with authenticationMethod '{method}' {verb} '{field}'{hint}.",
                    f"{at.ref}: {field}",
                )
    if not amiss and method == MACHINE_CERTIFICATES:
        yield from _certificates(at, ipsec, stored)


def _certificates(
    at: Path, ipsec: IpsecConfiguration, stored: IpsecConfiguration | None
) -> Iterator[Complaint]:
    own, key, authority = ipsec.certificate or "", ipsec.private_key or "", ipsec.ca_certificate or ""
    identities = ipsec.identity or "", ipsec.remote_identity or ""
    try:
        authentication("", MachineCertificate(own, key, authority), identities, at.ref)
    except LabError as error:
        for problem in error.problems:
            yield invalid(f"{problem.message}: {problem.hint}.", f"{at.ref}: ipSecConfiguration")
    before, before_authority = (stored.certificate, stored.ca_certificate) if stored else (None, None)
    for fault in (
        *check_own(own, key, identities[0], before or ""),
        *check_authority(authority, own, before_authority or ""),
    ):
        yield invalid(fault.message, f"{at.ref}: {fault.field}")
    if identities[0] == identities[1]:
        yield invalid(
            f"The site cannot be '{identities[0]}', too: that is the gateway.", f"{at.ref}: remoteIdentity"
        )

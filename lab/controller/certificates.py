"""Certificates that clients bring, PEM: what charon would take, and no peer could connect.

Point-to-site and site-to-site connections have the same rules. One that has ended since it was accepted
stops its own connection, but no change of the virtual gateway that has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


class Fault(NamedTuple):
    """One thing that is wrong: the field as the API calls it, and a sentence."""

    field: str
    message: str


def check_own(
    certificate: str, key: str, identity: str, stored: str = "", now: datetime | None = None
) -> Iterator[Fault]:
    """The gateway's own certificate, its key, and the name in it that it goes by.

    Args:
        certificate: as it is to be.
        key: of the certificate.
        identity: the name.
        stored: the certificate as it stands; the clock is no reason against the same one. Empty: none.
        now: None: what the clock says.
    """
    own, private = _certificate(certificate), _private(key)
    if own is None or private is None:
        yield Fault("certificate", "The gateway's certificate or its key is no PEM.")
        return
    if private.public_key() != own.public_key():
        yield Fault("privateKey", "The key is not that of the gateway's certificate.")
    known = _names(own)
    if identity not in known:
        message = f"'{identity}' is none of the names in the certificate ({', '.join(known) or 'none'})."
        yield Fault("identity", message)
    if own != _certificate(stored):
        yield from _time("certificate", "The gateway's certificate", own, now)


def check_authority(
    authority: str, issued: str = "", stored: str = "", now: datetime | None = None
) -> Iterator[Fault]:
    """The authority that others' certificates must be of.

    Args:
        authority: its certificate.
        issued: a certificate that it must have issued; empty: none.
        stored: the authority's certificate as it stands, as with `check_own`.
        now: None: what the clock says.
    """
    found, own = _certificate(authority), _certificate(issued)
    if found is None:
        yield Fault("caCertificate", "The authority's certificate is no PEM.")
        return
    if not _may_issue(found):
        message = f"'{_subject(found)}' is no authority: its certificate does not say that it may issue any."
        yield Fault("caCertificate", message)
    if found != _certificate(stored):
        yield from _time("caCertificate", "The authority's certificate", found, now)
    if own is not None and not _has_issued(found, own):
        message = (
            f"The gateway's certificate is not issued by '{_subject(found)}' (it says: by "
            f"'{own.issuer.rfc4514_string()}'); one authority issues those of both ends."
        )
        yield Fault("caCertificate", message)


def _certificate(pem: str) -> x509.Certificate | None:
    """None: it cannot be read as a whole, which turns out only where one looks."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        found.public_key(), found.extensions, found.subject, found.issuer
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    return found


def _private(pem: str) -> PrivateKeyTypes | None:
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _names(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that the certificate was issued for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _time(field: str, what: str, certificate: x509.Certificate, now: datetime | None) -> Iterator[Fault]:
    now = now or datetime.now(UTC)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        state = "has expired" if last < now else "is not valid yet"
        period = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
        yield Fault(field, f"{what} {state}: it is good from {period}.")

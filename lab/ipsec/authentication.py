"""How the two ends of an IKEv2 connection prove who they are, as VICI wants it. Pure.

AuthenticationMethod of Add-VpnS2SInterface: PSKOnly or MachineCertificates. Who calls a dial-in server, and
the server itself, show and demand certificates in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address

from lab.errors import LabError, Problem
from lab.ipsec.load import Load, ViciMessage

NOT_ONE_WAY = "HNV-VPN-013"
A_NAME = "a DNS name or an IPv4 address, as a certificate's subjectAltName holds it"
_DNS_NAME = re.compile(r"(?=.{1,253}$)(?=.*[a-z])[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """Both ends know a secret."""

    secret: str = field(repr=False)

    def local(self, identity: str) -> ViciMessage:
        """What we prove."""
        return {"auth": "psk", "id": identity}

    def remote(self, identity: str) -> ViciMessage:
        """What the peer must prove."""
        return {"auth": "psk", "id": identity}

    def load(self, name: str, connection: ViciMessage, identities: Sequence[str]) -> Load:
        """What charon must hold: the secret is bound to both identities, so that no other peer can use it."""
        secret: ViciMessage = {"id": name, "type": "ike", "data": self.secret, "owners": list(identities)}
        return Load(connections={name: connection}, secrets={name: secret})


@dataclass(frozen=True, slots=True)
class MachineCertificate:
    """Each end shows a certificate; the same authority has issued both.

    Attributes:
        certificate, key: our own, PEM.
        authority: its certificate, PEM. It alone is no proof: the peer's certificate must hold the identity
            that is demanded of it, or every machine of the authority's could be the peer.
    """

    certificate: str
    key: str = field(repr=False)
    authority: str

    def local(self, identity: str) -> ViciMessage:
        """What we prove."""
        return shown(self.certificate, identity)

    def remote(self, identity: str) -> ViciMessage:
        """What the peer must prove."""
        return demanded(self.authority, identity)

    def load(self, name: str, connection: ViciMessage, _identities: Sequence[str]) -> Load:
        """What charon must hold."""
        return Load(connections={name: connection}, keys=(self.key,))


Authentication = PreSharedKey | MachineCertificate


def shown(certificate: str, identity: str = "") -> ViciMessage:
    """An end that authenticates by its certificate; without an identity, by the certificate's subject."""
    return {"auth": "pubkey", "certs": [certificate], **_named(identity)}


def demanded(authority: str, identity: str = "") -> ViciMessage:
    """An end that must have a certificate of an authority; without an identity, any of them."""
    return {"auth": "pubkey", "cacerts": [authority], **_named(identity)}


def _named(identity: str) -> ViciMessage:
    return {"id": identity} if identity else {}


def authentication(
    secret: str, machine: MachineCertificate | None, identities: Sequence[str], place: str
) -> Authentication:
    """The one way in which a connection's ends authenticate.

    Parameters:
        secret: empty: there is none.
        machine: None: there is none.
        identities: ours and the peer's; of certificates, names in them.
        place: the record's key or the resource's path, given back with every problem.

    Raises:
        LabError: not one way, half of one, or an end that could be anybody (HNV-VPN-013). All problems at
            once.
    """
    found: list[Problem] = []
    if machine is None:
        if secret:
            return PreSharedKey(secret)
        message = "an IPsec connection needs a pre-shared key or machine certificates"
        found.append(Problem(NOT_ONE_WAY, message, place=place))
    else:
        if secret:
            message = "an IPsec connection has a pre-shared key and machine certificates"
            found.append(Problem(NOT_ONE_WAY, message, place=place, hint="leave one of them out"))
        parts = {
            "the gateway's certificate": machine.certificate,
            "its private key": machine.key,
            "the authority's certificate": machine.authority,
            "the gateway's identity": identities[0],
            "the site's identity": identities[1],
        }
        for part, value in parts.items():
            if not value:
                message = f"machine certificates without {part}"
                found.append(Problem(NOT_ONE_WAY, message, place=place))
        found += [
            Problem(NOT_ONE_WAY, f"'{name}' is not one machine's name", place=place, hint=A_NAME)
            for name in identities
            if name and not _is_one_name(name)
        ]
    if found or machine is None:
        raise LabError(found)
    return machine


def _is_one_name(identity: str) -> bool:
    """strongSwan has words that everybody is: `%any`, `*.example`, 0.0.0.0, ranges of addresses, and more."""
    try:
        return not IPv4Address(identity).is_unspecified
    except AddressValueError:
        return _DNS_NAME.fullmatch(identity) is not None

"""The lab's certificate authority, one certificate for each fabric node that speaks TLS, and the API's token.

Made on the first `up` and kept in the lab's state directory, so that a second `up` changes nothing. The
southbound protocol wants mutual TLS in which the certificate's common name is the node's name
(lab/southbound/identity.py).
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.engine.state import private_directory, write_private

VALID_DAYS = 825
"""The longest that current TLS clients accept for a server's certificate."""
RENEW_DAYS = 30
"""A certificate that ends sooner is made anew by the next `up`."""


@dataclass(frozen=True, slots=True)
class NodeTls:
    """What a node needs to prove who it is; PEM."""

    ca: bytes
    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Pki:
    """The lab's certificates and token, below one directory."""

    directory: Path

    @property
    def ca_path(self) -> Path:
        """The authority's certificate, for clients of the API on this machine."""
        return self.directory / "ca.pem"

    @property
    def token_path(self) -> Path:
        """The bearer token of the API."""
        return self.directory / "token"

    def token(self) -> str:
        """The bearer token of the API; made on the first call."""
        if not self.token_path.exists():
            private_directory(self.directory)
            write_private(self.token_path, secrets.token_urlsafe(32).encode())
        return self.token_path.read_text()

    def ensure(
        self,
        lab: str,
        nodes: Mapping[str, Sequence[str | IPv4Address]],
        now: datetime.datetime | None = None,
    ) -> Mapping[str, NodeTls]:
        """Certificates for nodes; those that are there and still good are kept.

        Parameters:
            lab: name of the lab, for the authority's name.
            nodes: for each node the names and addresses under which it is reached, beside its own name.
            now: None: what the clock says.
        """
        private_directory(self.directory)
        now = now or datetime.datetime.now(datetime.UTC)
        ca_key_path = self.directory / "ca.key"
        authority = _load(self.ca_path, ca_key_path)
        if authority is None or _ends_soon(authority[0], now):
            authority = _make_authority(lab, now)
            _save(self.ca_path, ca_key_path, authority)
        return {name: self._node(name, names, authority, now) for name, names in nodes.items()}

    def _node(
        self,
        name: str,
        names: Sequence[str | IPv4Address],
        authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
        now: datetime.datetime,
    ) -> NodeTls:
        path, key_path = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        alternatives = _alternatives([name, *names])
        pair = _load(path, key_path)
        if pair is None or _ends_soon(pair[0], now) or not _issued(pair[0], authority[0], alternatives):
            pair = _make_node(name, alternatives, authority, now)
            _save(path, key_path, pair)
        return NodeTls(self.ca_path.read_bytes(), path.read_bytes(), key_path.read_bytes())


def controller_names(management: IPv4Address) -> tuple[str | IPv4Address, ...]:
    """Under which names and addresses agents, and clients on this machine, reach the Network Controller."""
    return ("controller", management, "localhost", IPv4Address("127.0.0.1"))


def _alternatives(names: Sequence[str | IPv4Address]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
            for name in dict.fromkeys(names)
        ]
    )


def _ends_soon(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_after_utc - now < datetime.timedelta(days=RENEW_DAYS)


def _issued(
    certificate: x509.Certificate, authority: x509.Certificate, alternatives: x509.SubjectAlternativeName
) -> bool:
    """Whether the certificate is this authority's, and names what it should."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found == alternatives


def _make_authority(lab: str, now: datetime.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"hnvlab {lab} CA")])
    builder = (
        _builder(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _make_node(
    name: str,
    alternatives: x509.SubjectAlternativeName,
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: datetime.datetime,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    ca, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, ca.subject, key.public_key(), now)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        # Python's ssl wants it with VERIFY_X509_STRICT, its default since 3.13 (RFC 5280 §4.2.1.1).
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _save(path: Path, key_path: Path, pair: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> None:
    certificate, key = pair
    # The key first: a certificate without its key would be taken for whole.
    write_private(
        key_path,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))


def _load(path: Path, key_path: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """The pair on disk; None: there is none, or its halves do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key

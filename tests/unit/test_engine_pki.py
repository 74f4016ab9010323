"""The lab's certificates: who trusts whom, what is kept, and who can read it."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.engine.pki import NodeTls, Pki, controller_names

NODES: Mapping[str, tuple[str | IPv4Address, ...]] = {
    "nc": controller_names(IPv4Address("172.16.0.2")),
    "hv01": (IPv4Address("172.16.0.3"),),
}


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "labs" / "trial")


def context(purpose: ssl.Purpose, node: NodeTls, directory: Path) -> ssl.SSLContext:
    """How a node's process loads its certificate."""
    directory.mkdir()
    for name, content in (("ca", node.ca), ("cert", node.certificate), ("key", node.key)):
        (directory / name).write_bytes(content)
    made = ssl.create_default_context(purpose, cafile=str(directory / "ca"))
    made.load_cert_chain(directory / "cert", directory / "key")
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str:
    """The common name that the server sees of the client, after both have verified each other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    pending = [ours, theirs]
    for _ in range(10):
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not pending:
            break
    certificate: Any = theirs.getpeercert()
    subject = dict(pair[0] for pair in certificate["subject"])
    return str(subject["commonName"])


@pytest.mark.parametrize("name", ["nc", "controller", "localhost", "127.0.0.1", "172.16.0.2"])
def test_an_agent_and_the_controller_trust_each_other(pki: Pki, tmp_path: Path, name: str) -> None:
    nodes = pki.ensure("trial", NODES)
    client = context(ssl.Purpose.SERVER_AUTH, nodes["hv01"], tmp_path / "client")
    server = context(ssl.Purpose.CLIENT_AUTH, nodes["nc"], tmp_path / "server")
    assert handshake(client, server, name) == "hv01"


def test_a_host_cannot_pass_for_the_controller(pki: Pki, tmp_path: Path) -> None:
    nodes = pki.ensure("trial", NODES)
    client = context(ssl.Purpose.SERVER_AUTH, nodes["nc"], tmp_path / "client")
    server = context(ssl.Purpose.CLIENT_AUTH, nodes["hv01"], tmp_path / "server")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(client, server, "controller")


def test_another_lab_is_not_trusted(pki: Pki, tmp_path: Path) -> None:
    nodes, others = pki.ensure("trial", NODES), Pki(tmp_path / "other").ensure("other", NODES)
    client = context(ssl.Purpose.SERVER_AUTH, others["hv01"], tmp_path / "client")
    server = context(ssl.Purpose.CLIENT_AUTH, nodes["nc"], tmp_path / "server")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, "nc")


def test_a_second_up_finds_the_same(pki: Pki) -> None:
    first, token = pki.ensure("trial", NODES), pki.token()
    again = Pki(pki.directory)
    assert (again.ensure("trial", NODES), again.token()) == (first, token)


def test_a_node_that_has_moved_gets_another_certificate_and_the_rest_keep_theirs(pki: Pki) -> None:
    first = pki.ensure("trial", NODES)
    second = pki.ensure("trial", {**NODES, "hv01": (IPv4Address("172.16.0.9"),)})
    assert second["hv01"].certificate != first["hv01"].certificate
    assert second["nc"] == first["nc"]


def test_a_lost_authority_takes_its_certificates_with_it(pki: Pki) -> None:
    first = pki.ensure("trial", NODES)
    (pki.directory / "ca.key").unlink()
    second = pki.ensure("trial", NODES)
    assert second["nc"].ca != first["nc"].ca
    assert second["nc"].certificate != first["nc"].certificate


def test_a_certificate_without_its_own_key_is_made_anew(pki: Pki) -> None:
    pki.ensure("trial", NODES)
    (pki.directory / "nc.key").write_bytes((pki.directory / "hv01.key").read_bytes())
    mended = pki.ensure("trial", NODES)["nc"]
    certificate = x509.load_pem_x509_certificate(mended.certificate)
    assert mended.key != (pki.directory / "hv01.key").read_bytes()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "nc"


def test_nobody_else_can_read_secrets(pki: Pki) -> None:
    pki.ensure("trial", NODES)
    pki.token()
    assert stat.S_IMODE(pki.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in pki.directory.iterdir()} == {0o600}


def test_keys_are_on_the_curve_p256(pki: Pki) -> None:
    certificate = x509.load_pem_x509_certificate(pki.ensure("trial", NODES)["nc"].certificate)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)

"""Site-to-site connections by machine certificates at the controller: what is refused, who is told what."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from lab.controller.certificates import check_authority, check_own
from lab.controller.refusals import Refused
from lab.engine.pki import VALID_DAYS, Pki
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud

BLUE = "/virtualGateways/blue"
HQ = f"{BLUE}/networkConnections/blue-hq"
GATEWAY, SITE = "blue.gateway", "blue-hq.site"
LONG_AGO = datetime.now(UTC) - timedelta(days=VALID_DAYS + 1)


class Store:
    """Certificates as text: one authority's, and another's with the same names."""

    def __init__(self, folder: Path) -> None:
        names: dict[str, tuple[str | IPv4Address, ...]] = {
            GATEWAY: (IPv4Address("203.0.113.10"),),
            "wild": ("*.gateway",),
        }
        self.mine, self.other = Pki(folder / "mine"), Pki(folder / "other")
        self.mine.ensure("blue", names)
        self.mine.ensure("blue", {"late": (GATEWAY,)}, LONG_AGO)
        self.mine.ensure("blue", {"early": (GATEWAY,)}, datetime.now(UTC) + timedelta(days=9))
        self.other.ensure("red", names)

    def certificate(self, name: str = GATEWAY) -> str:
        return (self.mine.directory / f"{name}.pem").read_text()

    def key(self, name: str = GATEWAY) -> str:
        return (self.mine.directory / f"{name}.key").read_text()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    result = Datacenter(tmp_path, hybrid_cloud())
    yield result
    result.store.close()


def by_certificate(store: Store, **changes: Any) -> dict[str, Any]:
    given = {
        "authenticationMethod": "machineCertificates",
        "identity": GATEWAY,
        "certificate": store.certificate(),
        "privateKey": store.key(),
        "caCertificate": store.mine.ca_path.read_text(),
        "remoteIdentity": SITE,
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def with_ipsec(lab: Datacenter, configuration: dict[str, Any]) -> dict[str, Any]:
    """Blue's virtual gateway, whose only connection is protected so."""
    body = copy.deepcopy(lab.get(BLUE))
    body["properties"]["networkConnections"][0]["properties"]["ipSecConfiguration"] = configuration
    return body


def told(lab: Datacenter) -> pb.Ipsec:
    """What the gateway gets of the connection."""
    (place,) = (item for item in lab.records("gw01", "compartment") if item.tenant == "blue")
    found = place.connections[0].ipsec
    assert isinstance(found, pb.Ipsec)
    return found


def test_the_gateway_is_told(lab: Datacenter, store: Store) -> None:
    assert not told(lab).HasField("machine_certificate")
    lab.put(BLUE, with_ipsec(lab, by_certificate(store)))
    assert told(lab).shared_secret == ""
    assert told(lab).machine_certificate == pb.MachineCertificate(
        ca_certificate=store.mine.ca_path.read_text(),
        certificate=store.certificate(),
        private_key=store.key(),
        identity=GATEWAY,
        remote_identity=SITE,
    )


def test_the_key_goes_in_and_never_out_and_stays_when_it_is_not_said(lab: Datacenter, store: Store) -> None:
    from lab.controller.views import render_goal_state

    lab.put(BLUE, with_ipsec(lab, by_certificate(store)))
    body = lab.get(BLUE)
    shown = body["properties"]["networkConnections"][0]["properties"]["ipSecConfiguration"]
    assert (shown["authenticationMethod"], shown["identity"], shown["remoteIdentity"]) == (
        "MachineCertificates",
        GATEWAY,
        SITE,
    )
    node = lab.controller.fleet.node("gw01")
    assert node is not None
    seen = str(render_goal_state(node, lab.controller))
    assert SITE in seen
    assert "PRIVATE KEY" not in str(body) + seen
    tag = body["etag"]
    lab.put(BLUE, body)
    assert lab.get(BLUE)["etag"] == tag
    shown["remoteIdentity"] = "branch.site"
    lab.put(BLUE, body)
    assert told(lab).machine_certificate.private_key == store.key()
    assert told(lab).machine_certificate.remote_identity == "branch.site"


def test_a_method_keeps_nothing_of_another(lab: Datacenter, store: Store) -> None:
    """The secret that was stored is none that was given with certificates, and the key none with a secret."""
    secret = told(lab).shared_secret
    assert secret
    lab.put(BLUE, with_ipsec(lab, by_certificate(store)))
    assert "needs 'sharedSecret'" in lab.refusal(BLUE, with_ipsec(lab, {"authenticationMethod": "PSK"}))
    lab.put(BLUE, with_ipsec(lab, {"sharedSecret": "another"}))
    assert told(lab).shared_secret == "another"
    assert not told(lab).HasField("machine_certificate")
    assert "needs 'privateKey'" in lab.refusal(BLUE, with_ipsec(lab, by_certificate(store, privateKey=None)))


Change = Callable[[Store], dict[str, Any]]
REFUSED: dict[str, tuple[Change, str]] = {
    "no certificate": (lambda _: {"certificate": None}, "needs 'certificate'"),
    "an empty one": (lambda _: {"certificate": ""}, "needs 'certificate'"),
    "no key": (lambda _: {"privateKey": None}, "needs 'privateKey'"),
    "no authority": (lambda _: {"caCertificate": None}, "needs 'caCertificate'"),
    "no name": (lambda _: {"identity": None}, "needs 'identity'"),
    "no name of the site": (lambda _: {"remoteIdentity": None}, "needs 'remoteIdentity'"),
    "a secret, too": (
        lambda _: {"sharedSecret": "hush"},
        "has no 'sharedSecret': leave it out, or choose 'PSK'",
    ),
    "by a secret": (
        lambda _: {"authenticationMethod": "PSK", "sharedSecret": "hush", "privateKey": None},
        "has no 'certificate': leave it out, or choose 'MachineCertificates'",
    ),
    "another method": (lambda _: {"authenticationMethod": "EAP"}, "one of PSK, MachineCertificates"),
    "no PEM": (lambda _: {"certificate": "gibberish"}, "certificate or its key is no PEM"),
    "a key that is none": (lambda _: {"privateKey": "gibberish"}, "certificate or its key is no PEM"),
    "an authority that is no PEM": (lambda _: {"caCertificate": "x"}, "authority's certificate is no PEM"),
    "another's key": (lambda s: {"privateKey": s.key("late")}, "The key is not that of the gateway's"),
    "another name": (
        lambda _: {"identity": "red.gateway"},
        "none of the names in the certificate (blue.gateway",
    ),
    "expired": (
        lambda s: {"certificate": s.certificate("late"), "privateKey": s.key("late")},
        "The gateway's certificate has expired: it is good from",
    ),
    "too early": (
        lambda s: {"certificate": s.certificate("early"), "privateKey": s.key("early")},
        "The gateway's certificate is not valid yet",
    ),
    "another authority's": (
        lambda s: {"caCertificate": s.other.ca_path.read_text()},
        "not issued by 'CN=hnvlab red CA' (it says: by 'CN=hnvlab blue CA')",
    ),
    "an authority that is none": (
        lambda s: {"caCertificate": s.certificate()},
        "'CN=blue.gateway' is no authority",
    ),
    "anybody": (lambda _: {"remoteIdentity": "%any"}, "'%any' is not one machine's name"),
    "everybody of a domain": (lambda _: {"remoteIdentity": "*.site"}, "'*.site' is not one machine's name"),
    "any address": (lambda _: {"remoteIdentity": "0.0.0.0"}, "'0.0.0.0' is not one machine's name"),
    "a range": (lambda _: {"remoteIdentity": "10.0.0.1-10.0.0.9"}, "not one machine's name"),
    "a subject with a joker": (lambda _: {"remoteIdentity": "CN=*"}, "'CN=*' is not one machine's name"),
    "the gateway itself": (lambda _: {"remoteIdentity": GATEWAY}, "that is the gateway"),
    "a joker of its own": (
        lambda s: {
            "identity": "*.gateway",
            "certificate": s.certificate("wild"),
            "privateKey": s.key("wild"),
        },
        "'*.gateway' is not one machine's name",
    ),
}


@pytest.mark.parametrize(("change", "expected"), REFUSED.values(), ids=REFUSED)
def test_refusals(lab: Datacenter, store: Store, change: Change, expected: str) -> None:
    before = told(lab)
    refusal = lab.refusal(BLUE, with_ipsec(lab, by_certificate(store, **change(store))))
    assert expected in refusal
    assert "hush" not in refusal
    assert "PRIVATE KEY" not in refusal
    assert told(lab) == before


def test_an_address_may_be_the_name(lab: Datacenter, store: Store) -> None:
    lab.put(
        BLUE, with_ipsec(lab, by_certificate(store, identity="203.0.113.10", remoteIdentity="198.51.100.2"))
    )
    assert told(lab).machine_certificate.identity == "203.0.113.10"


def test_all_that_is_wrong_is_said_at_once(lab: Datacenter, store: Store) -> None:
    wrong = by_certificate(store, identity="x.gateway", remoteIdentity="*", privateKey=store.key("late"))
    with pytest.raises(Refused) as refused:
        lab.put(BLUE, with_ipsec(lab, wrong))
    assert {item.target.removeprefix(f"{HQ}: ") for item in refused.value.complaints} == {
        "ipSecConfiguration",
        "privateKey",
        "identity",
    }


def test_a_certificate_that_ends_later_holds_nothing_else_up(
    lab: Datacenter, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway and what it refers to can be changed though a certificate has ended meanwhile; but no other
    connection can get it, nor this one another that has ended.
    """
    body = with_ipsec(lab, by_certificate(store))
    body["properties"]["networkConnections"].append(
        {
            "resourceId": "branch",
            "properties": {
                "connectionType": "IPSec",
                "destinationIPAddress": "198.51.100.77",
                "ipSecConfiguration": {"sharedSecret": "hush"},
            },
        }
    )
    lab.put(BLUE, body)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=VALID_DAYS + 1)

    monkeypatch.setattr("lab.controller.certificates.datetime", Later)
    network = lab.get("/virtualNetworks/blue")
    network["properties"]["addressSpace"]["addressPrefixes"].append("10.77.0.0/16")
    lab.put("/virtualNetworks/blue", network)
    again = copy.deepcopy(lab.get(BLUE))
    for connection in again["properties"]["networkConnections"]:
        connection["properties"]["outboundKiloBitsPerSecond"] = 300
    lab.put(BLUE, again)
    moved = copy.deepcopy(again)
    moved["properties"]["networkConnections"][1]["properties"]["ipSecConfiguration"] = by_certificate(store)
    refused = lab.refusal(BLUE, moved)
    assert "The gateway's certificate has expired" in refused
    assert "The authority's certificate has expired" in refused
    lab.delete(f"{BLUE}/networkConnections/branch")
    other = {"certificate": store.certificate("late"), "privateKey": store.key("late")}
    refused = lab.refusal(BLUE, with_ipsec(lab, by_certificate(store, **other)))
    assert "The gateway's certificate has expired" in refused
    assert "The authority's" not in refused
    lab.delete(HQ)


def test_an_authority_is_judged_without_a_certificate_of_it(store: Store) -> None:
    assert not [*check_authority(store.other.ca_path.read_text())]
    late = datetime.now(UTC) + timedelta(days=VALID_DAYS + 1)
    assert "has expired" in next(check_authority(store.other.ca_path.read_text(), now=late)).message
    assert [fault.field for fault in check_own(store.certificate(), store.key(), GATEWAY, now=late)] == [
        "certificate"
    ]


def test_a_certificate_with_broken_names_is_refused_and_breaks_nothing(lab: Datacenter, store: Store) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broken")])
    broken = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LONG_AGO)
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"no DER"), False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    for field in ("certificate", "caCertificate"):
        assert "is no PEM" in lab.refusal(BLUE, with_ipsec(lab, by_certificate(store, **{field: broken})))

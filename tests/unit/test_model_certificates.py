"""Connections by machine certificates in a topology file: what is wrong with one, and what it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509

from lab.engine.certificates import certificates
from lab.ipsec.authentication import MachineCertificate
from lab.ipsec.esp import EspBackend
from lab.model.codes import Code
from lab.model.lab import Lab, SiteConfig
from lab.model.loader import parse_topology
from lab.model.resolve import resolve
from lab.onprem.config import tunnel
from lab.plan.certificates import names_to_issue
from lab.plan.container import Materials, container_spec
from lab.plan.intent import intent

from .test_model_errors import problems as problems_of

PATH = Path(__file__).parents[2] / "topologies" / "two-sites.yml"
VALID = PATH.read_text()
SITE_JSON = "/etc/hnvlab/site.json"
CERTIFICATE = "          authentication: certificate   # of Blue's own authority, made by `hnvlab up`\n"
SECRET = "          shared-secret: blue-keeps-its-secrets\n"
WRONG = {
    "neither": (CERTIFICATE, "", Code.MISSING_KEY, "branch:", "authentication: certificate"),
    "both": (
        CERTIFICATE,
        CERTIFICATE + SECRET,
        Code.CONNECTION,
        f"{CERTIFICATE}          ^shared-secret",
        "one of the two",
    ),
    "another word": (
        CERTIFICATE,
        CERTIFICATE.replace("certificate ", "certificates ", 1),
        Code.VALUE,
        "authentication: certificates",
        "'certificate'",
    ),
    "a secret that is chosen, and not given": (
        SECRET,
        "          authentication: shared-secret\n",
        Code.MISSING_KEY,
        "hq:",
        "shared-secret",
    ),
    "a long tenant": ("  blue:\n", f"  {'b' * 41}:\n", Code.CONNECTION, "authentication", "at most 40"),
    "a long site": ("blue-branch", "b" * 60, Code.CONNECTION, "authentication: certificate", "at most 59"),
}


@pytest.mark.parametrize(("old", "new", "code", "blamed", "helps"), WRONG.values(), ids=WRONG)
def test_one_mistake_is_one_problem(old: str, new: str, code: Code, blamed: str, helps: str) -> None:
    assert old in VALID
    text = VALID.replace(old, new)
    (problem,) = (item for item in problems_of(text) if item.code == code.code)
    place = text.index(blamed.replace("^", "")) + max(blamed.find("^"), 0)
    assert problem.place == f"lab.yml:{text.count(chr(10), 0, place) + 1}"
    assert helps in f"{problem.expected} {problem.hint} {problem.message}"


def test_a_secret_of_a_wrong_length_is_not_also_missing() -> None:
    (problem,) = problems_of(VALID.replace(SECRET, "          shared-secret: short\n"))
    assert problem.code == Code.VALUE.code


@pytest.fixture(scope="module")
def lab() -> Lab:
    return resolve(parse_topology(VALID, PATH.name, PATH.parent))


def test_an_authority_issues_for_who_is_named_and_for_nobody_else(lab: Lab, tmp_path: Path) -> None:
    (blue,) = lab.tenants
    assert names_to_issue(lab, blue) == ("blue.gateway", "blue-branch.site")
    made = certificates(lab, tmp_path)["blue"]
    authority = x509.load_pem_x509_certificate(made.authority.encode())
    for name in ("blue.gateway", "blue-branch.site"):
        own = x509.load_pem_x509_certificate(made.issued[name].certificate.encode())
        own.verify_directly_issued_by(authority)
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [name]
    assert certificates(lab, tmp_path)["blue"] == made, "a second `up` makes none anew"
    without = VALID.replace(CERTIFICATE, SECRET)
    changed = resolve(parse_topology(without, PATH.name, PATH.parent))
    assert certificates(changed, tmp_path / "other") == {}


def test_the_site_is_told_what_it_proves_and_what_it_demands(lab: Lab, tmp_path: Path) -> None:
    made = certificates(lab, tmp_path)
    texts = container_spec(lab, lab.nodes["blue-branch"], Materials(certificates=made)).texts
    path = tmp_path / "site.json"
    path.write_text(texts[SITE_JSON])
    site = SiteConfig.load(path)
    assert site.certificates is not None
    assert site.shared_secret == ""
    assert "PRIVATE KEY" not in repr(site)
    found = tunnel(site, EspBackend.LIBIPSEC)
    own = made["blue"].issued["blue-branch.site"]
    assert found.authentication == MachineCertificate(own.certificate, own.key, made["blue"].authority)
    assert (found.local_id, found.remote_id) == ("blue-branch.site", "blue.gateway")
    other = container_spec(lab, lab.nodes["blue-hq"], Materials(certificates=made))
    assert json.loads(other.texts[SITE_JSON])["certificates"] is None
    with pytest.raises(KeyError):
        container_spec(lab, lab.nodes["blue-branch"], Materials())


def test_a_site_whose_certificate_is_another_gets_another_container(lab: Lab, tmp_path: Path) -> None:
    specs = [
        container_spec(
            lab, lab.nodes["blue-branch"], Materials(certificates=certificates(lab, tmp_path / name))
        )
        for name in ("one", "two")
    ]
    assert specs[0].spec_hash != specs[1].spec_hash


def test_the_intent_carries_the_gateways_part(lab: Lab, tmp_path: Path) -> None:
    made = certificates(lab, tmp_path)
    gateway = dict(intent(lab, made))["/virtualGateways/blue"]["properties"]
    hq, branch = (item["properties"]["ipSecConfiguration"] for item in gateway["networkConnections"])
    assert (hq["authenticationMethod"], hq["sharedSecret"]) == ("PSK", "blue-keeps-its-secrets")
    assert "certificate" not in hq
    own = made["blue"].issued["blue.gateway"]
    assert {key: value for key, value in branch.items() if "Mode" not in key} == {
        "authenticationMethod": "MachineCertificates",
        "identity": "blue.gateway",
        "certificate": own.certificate,
        "privateKey": own.key,
        "caCertificate": made["blue"].authority,
        "remoteIdentity": "blue-branch.site",
        "networkOutageSeconds": 9,
    }
    with pytest.raises(KeyError):
        intent(lab)

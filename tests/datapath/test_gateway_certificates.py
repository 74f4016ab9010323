"""Site-to-site connections by machine certificates: real charons at the gateway and at both sites."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.engine.certificates import certificates
from lab.engine.pki import Pki
from lab.model.lab import SITE_PATH
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.container import Materials, container_spec
from lab.plan.intent import intent
from lab.testing.eventually import eventually
from tests.unit.controller_support import Datacenter

from .certificate_world import (
    BRANCH,
    CLOUD,
    GATEWAY,
    HQ,
    IDENTITIES,
    LAN,
    LAPTOP,
    LATE_GATEWAY,
    LATE_HQ,
    LONG_AGO,
    RENEWED,
    SITES,
    Bench,
    by_certificate,
    by_secret,
    carries,
    connected,
    ike_ids,
    reconfigure,
    refused,
    shown,
    state,
    swanctl,
    tenant,
)
from .gateway_world import World

pytestmark = pytest.mark.root

UP_S = 30
TWO_SITES = Path(__file__).parents[2] / "topologies" / "two-sites.yml"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Blue's two sites call with certificates; no connection yet."""
    folder = tmp_path_factory.mktemp("cert")
    names: dict[str, tuple[str, ...]] = dict.fromkeys((GATEWAY, HQ, BRANCH, LAPTOP), ())
    late = {LATE_HQ: (HQ,), LATE_GATEWAY: (GATEWAY,)}
    blue, red = (Pki(folder / f"{name}-pki") for name in ("blue", "red"))
    issued = {**blue.ensure("blue", names | {RENEWED: (GATEWAY,)}), **blue.ensure("blue", late, LONG_AGO)}
    world = World(folder)
    try:
        world.build()
        world.start_gateway()
        world.apply(tenant())
        world.start_agent()
        for name, site in SITES.items():
            world.start_site(site, cloud=CLOUD, **shown(issued[IDENTITIES[name]], IDENTITIES[name]))
        yield Bench(world, issued, red.ensure("red", names))
    finally:
        world.close()


def test_two_sites_by_certificates_and_then_one_by_a_secret(bench: Bench) -> None:
    world = bench.world
    own = bench.blue[GATEWAY]
    world.apply(tenant(by_certificate("one", own), by_certificate("two", own, metric=20)))
    eventually(lambda: carries(world, "one"), UP_S)
    eventually(lambda: connected(world, "two"), UP_S)
    listed = swanctl(world, "two", "--list-sas")
    assert f"local  '{GATEWAY}'" in listed
    assert f"remote '{BRANCH}'" in listed
    with world.undisturbed("blue"):
        reconfigure(world, "two")
        world.apply(tenant(by_certificate("one", own), by_secret("two", metric=20)))
        eventually(lambda: connected(world, "two"), UP_S)
    world.apply(tenant(by_certificate("one", own, metric=30), by_secret("two", metric=20)))
    eventually(lambda: carries(world, "two"), UP_S)


@pytest.fixture
def up(bench: Bench) -> Bench:
    """The first site calls by certificate; the only connection."""
    world = bench.world
    world.apply(tenant(by_certificate("one", bench.blue[GATEWAY])))
    reconfigure(world, "one", **shown(bench.blue[HQ], HQ))
    eventually(lambda: carries(world, "one"), UP_S)
    return bench


@pytest.mark.parametrize("how", [(), ("--reauth",)], ids=["rekey", "reauthenticate"])
def test_keys_are_renewed(up: Bench, how: tuple[str, ...]) -> None:
    world = up.world
    before = ike_ids(world, "one")
    uri = f"unix://{world.folder}/site-blue/state/charon.vici"
    subprocess.run(["swanctl", "--rekey", "--ike", "cloud", *how, "--uri", uri], check=True)

    def renewed() -> None:
        assert len(before) == 1
        assert ike_ids(world, "one").isdisjoint(before)
        carries(world, "one")

    eventually(renewed, UP_S)


def test_the_gateway_calls_by_certificate_too(up: Bench) -> None:
    """On demand: then it is the gateway that shows its certificate first."""
    world = up.world
    reconfigure(world, "one", calls=False, on_demand=True, **shown(up.blue[HQ], HQ))
    wanted = by_certificate("one", up.blue[GATEWAY])
    wanted.ipsec.on_demand = True
    world.apply(tenant(wanted))

    def answered() -> None:
        assert world.pings("vm-blue", LAN)
        carries(world, "one")

    def turned_away() -> None:
        assert not world.pings("vm-blue", LAN)
        refused(world, "one", "for the name that it must have")

    eventually(answered, UP_S)
    reconfigure(world, "one", calls=False, on_demand=True, **shown(up.blue[LAPTOP], HQ))
    eventually(turned_away, UP_S)


class Impostor(NamedTuple):
    """A site that is not what it should be: whose certificate it shows, and what it calls itself.

    Attributes:
        by: the authority that has issued the certificate.
        why: words of the gateway's last error.
    """

    by: str
    certificate: str
    identity: str
    why: str


IMPOSTORS = {
    "another authority's, for the same name": Impostor("red", HQ, HQ, "authority that is not trusted"),
    "another machine's, and says so": Impostor("blue", LAPTOP, LAPTOP, "address or identity is not expected"),
    "another machine's": Impostor("blue", LAPTOP, HQ, "for the name that it must have"),
    "another site's": Impostor("blue", BRANCH, HQ, "for the name that it must have"),
    "the gateway's own": Impostor("blue", GATEWAY, HQ, "for the name that it must have"),
    "one that has expired": Impostor("blue", LATE_HQ, HQ, "has expired"),
}


@pytest.mark.parametrize("impostor", IMPOSTORS.values(), ids=IMPOSTORS)
def test_an_impostor_is_refused_and_the_reason_named(up: Bench, impostor: Impostor) -> None:
    world = up.world
    own = {"blue": up.blue, "red": up.red}[impostor.by][impostor.certificate]
    trusted = up.blue[HQ].ca.decode()
    reconfigure(world, "one", **shown(own, impostor.identity, authority=trusted))
    eventually(lambda: refused(world, "one", impostor.why), UP_S)
    assert ike_ids(world, "one") == set()
    reconfigure(world, "one", **shown(up.blue[HQ], HQ))
    eventually(lambda: carries(world, "one"), UP_S)
    assert state(world, "one").get("last_error", "") == ""


@pytest.mark.parametrize("shows", [LAPTOP, LATE_GATEWAY])
def test_a_site_refuses_a_gateway_that_is_not_its_own(up: Bench, shows: str) -> None:
    """A certificate without the identity, or one that has expired, is refused at the PUT: here it gets by."""
    world = up.world
    world.apply(tenant(by_certificate("one", up.blue[shows])))
    eventually(lambda: refused(world, "one", "our certificate or identity is not what it expects"), UP_S)


def test_a_certificate_is_exchanged_in_place(up: Bench) -> None:
    """charon goes on, and the site calls again."""
    world = up.world
    before, pid = ike_ids(world, "one"), world.service_pid("gateway", "charon-blue+one")
    world.apply(tenant(by_certificate("one", up.blue[RENEWED])))

    def exchanged() -> None:
        assert ike_ids(world, "one").isdisjoint(before)
        carries(world, "one")

    eventually(exchanged, UP_S)
    assert re.findall('received end entity cert "(.*)"', world.log("site-blue"))[-1] == f"CN={RENEWED}"
    assert world.service_pid("gateway", "charon-blue+one") == pid


def test_another_authority_takes_over_and_the_one_before_is_not_trusted_any_more(up: Bench) -> None:
    world = up.world
    world.apply(tenant(by_certificate("one", up.red[GATEWAY])))
    eventually(lambda: refused(world, "one", "authority that is not trusted"), UP_S)
    reconfigure(world, "one", **shown(up.red[HQ], HQ))
    eventually(lambda: carries(world, "one"), UP_S)


def test_a_connection_changes_from_a_secret_to_certificates(up: Bench) -> None:
    world = up.world
    world.apply(tenant(by_secret("one")))
    reconfigure(world, "one")
    eventually(lambda: carries(world, "one"), UP_S)
    world.apply(tenant(by_certificate("one", up.blue[GATEWAY])))
    eventually(lambda: refused(world, "one", "address or identity is not expected"), UP_S)
    reconfigure(world, "one", **shown(up.blue[HQ], HQ))
    eventually(lambda: carries(world, "one"), UP_S)


def test_half_a_certificate_is_refused_and_changes_nothing(up: Bench) -> None:
    world = up.world
    before = ike_ids(world, "one")
    wrong = by_certificate("one", up.blue[GATEWAY], remote_identity="")
    wrong.ipsec.shared_secret = "and a secret"
    world.apply(tenant(wrong))
    error = str(eventually(world.answer, UP_S)["error"])
    assert error.count("HNV-VPN-013") == 2
    assert "without the site's identity" in error
    assert ike_ids(world, "one") == before


def test_an_agent_that_dies_disturbs_nothing(up: Bench) -> None:
    world = up.world
    before = ike_ids(world, "one")
    with world.undisturbed("blue"):
        world.end("agent", signal.SIGKILL)
        (world.folder / "gateway" / "report").unlink()
        world.apply(tenant(by_certificate("one", up.blue[GATEWAY])))
        world.start_agent()
        eventually(lambda: carries(world, "one"), UP_S)
    assert ike_ids(world, "one") == before


def test_from_the_topology_file_to_both_charons(bench: Bench, tmp_path: Path) -> None:
    """The certificates of `hnvlab up`, through the Network Controller's checks, beside a secret."""
    world, lab = bench.world, resolve(load(TWO_SITES))
    made = certificates(lab, tmp_path)
    controller = Datacenter(tmp_path, [(path, dict(body)) for path, body in intent(lab, made)])
    (wanted,) = controller.records("gw01", "compartment")
    controller.store.close()
    world.apply(wanted)
    for site, node in (("blue", "blue-hq"), ("red", "blue-branch")):
        world.service(f"site-{site}", "onprem", "d")
        world.service(f"site-{site}", "charon", "d")
        text = container_spec(lab, lab.nodes[node], Materials(certificates=made)).texts[str(SITE_PATH)]
        (world.folder / f"site-{site}" / "site.json").write_text(text)
        world.service(f"site-{site}", "charon", "u")
        world.service(f"site-{site}", "onprem", "u")
    for name in ("hq", "branch"):
        eventually(partial(connected, world, name), UP_S)
    assert "remote 'blue-branch.site'" in swanctl(world, "branch", "--list-sas")
    assert "remote '198.51.100.2'" in swanctl(world, "hq", "--list-sas")

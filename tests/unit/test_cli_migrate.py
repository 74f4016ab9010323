"""What a live migration measures and says; what it refuses."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lab.cli import labs
from lab.cli.migrate import described
from lab.controller.client import ControllerUnreachableError, NodeStatus
from lab.engine import migrate_mover
from lab.engine.helper import HelperError
from lab.engine.migrate import Migration, MigrationError, _Work, place_of, require_over, targets
from lab.engine.migrate_probe import Loss, echo, loss
from lab.errors import LabError, Problem, UsageError
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"
MS = 1_000_000


@pytest.fixture(scope="module")
def model() -> Lab:
    return resolve(load(TOPOLOGY))


def stream(pattern: str) -> Loss:
    """A probe a millisecond; "." was answered, "x" was lost."""
    return loss([number * MS for number in range(len(pattern))], [mark == "." for mark in pattern])


@pytest.mark.parametrize(
    ("pattern", "lost", "blackout_ms"),
    [
        ("....", 0, 0.0),
        ("..x..", 1, 1.0),
        ("..xxx..", 3, 3.0),
        ("x..xxx.x.", 5, 3.0),
        ("..xx", 2, None),
        ("xx..xx", 4, None),
        ("", 0, 0.0),
    ],
)
def test_a_blackout_is_the_longest_run_of_lost_probes(
    pattern: str, lost: int, blackout_ms: float | None
) -> None:
    assert stream(pattern) == Loss(len(pattern), lost, blackout_ms)


def test_a_blackout_is_told_in_time_not_in_probes() -> None:
    """A machine that was busy sent fewer: what counts is when."""
    assert loss([0, 1 * MS, 40 * MS, 41 * MS], [True, False, False, True]).blackout_ms == 40


def test_the_probes_checksum_is_right() -> None:
    """RFC 1071: the sum over a message with its checksum is all ones."""
    message = echo(8, 0xABCD, 70_000, checksummed=True)
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert struct.unpack_from("!HHI", message, 4) == (0xABCD, 70_000 & 0xFFFF, 70_000)


def test_what_sees_the_whole_move_is_probed_first(model: Lab) -> None:
    tenant, vm = labs.vm(model, "blue-web")
    assert targets(tenant, vm, {"blue-app": "hv02"}, "hv01", "hv02") == ("10.0.1.4", "10.0.0.1")


def test_a_vm_on_a_third_host_is_probed_before_one_at_the_source(model: Lab) -> None:
    tenant, vm = labs.vm(model, "blue-web")
    near = type(vm)("blue-a", "hv01", "app", vm.address + 1, vm.mac, ())
    there = type(vm)("blue-b", "hv02", "app", vm.address + 2, vm.mac, ())
    far = type(vm)("blue-c", "hv03", "app", vm.address + 3, vm.mac, ())
    crowded = type(tenant)(tenant.name, tenant.routing_domain, tenant.subnets, (vm, there, near, far), None)
    order = targets(crowded, vm, {}, "hv01", "hv02")
    assert order == (*(str(item.address) for item in (far, near, there)), "10.0.0.1")


def test_a_mistyped_vm_or_host_is_answered_with_the_nearest(model: Lab) -> None:
    assert labs.vm(model, "red-app")[0].name == "red"
    assert labs.host(model, "hv02") == "hv02"
    with pytest.raises(UsageError) as caught:
        labs.vm(model, "blue-wbe")
    assert caught.value.problems[0].hint == "did you mean blue-web?"
    assert "red-app" in caught.value.problems[0].expected
    with pytest.raises(UsageError, match="no host gw01"):
        labs.host(model, "gw01")


def test_the_controller_says_where_a_vm_is() -> None:
    assert place_of({"properties": {"server": {"resourceRef": "/servers/hv02"}}}) == "hv02"
    assert place_of({"properties": {}}) == ""


def test_a_migration_is_told_with_its_blackout() -> None:
    done = Migration("web", "hv01", "hv02", "10.0.1.4", 1000, 300, 21, 22.25, 14.0, 35.5)
    assert described(done) == [
        "web has moved from hv01 to hv02",
        "blackout          22.2 ms, at 1000 packets/s to 10.0.1.4",
        "packets lost      21 of 300",
        "port moved in     14.0 ms",
        "policy followed   after 35.5 ms, on every connected node",
    ]
    assert described(Migration("web", "hv01", "hv01")) == ["web is on hv01 already"]
    unmeasured = described(Migration("web", "hv01", "hv02", policy_ms=30.0))
    assert "not measured" in unmeasured[1]


class Mover:
    """Stands for the program that moves ports; remembers where to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.moves: list[str] = []
        self._fails = fails

    def say(self, message: dict[str, str]) -> None:
        self.moves.append(message["move"])

    def hear(self, timeout_s: float) -> dict[str, float]:
        if self._fails:
            raise HelperError(Problem("HNV-ENG-041", "the kernel refused"))
        return {"move_ms": 12.0}


class Controller:
    """Stands for the Network Controller, which has blue-web on hv01.

    Attributes:
        servers: where it has had the VM, in order.
    """

    def __init__(
        self,
        *,
        refuses: bool = False,
        loses: bool = False,
        dies: bool = False,
        away: str = "",
        after: int = 2,
    ) -> None:
        """Parameters:
        refuses: changes are refused.
        loses: the first change is made, and its answer lost.
        dies: the first change is not made, and nothing answers for a while.
        away: host whose agent is not connected.
        after: how many questions the policy is under way for.
        """
        self._refuses, self._loses, self._dies = refuses, loses, dies
        self._away, self._updating = away, after
        self._deaf = 0
        self.servers = ["hv01"]

    def put(self, path: str, body: dict[str, Any]) -> None:
        assert path == "/networkInterfaces/blue-web"
        if self._refuses:
            raise LabError(Problem("HNV-NC-400", "no"))
        if self._dies:
            self._dies, self._deaf = False, 2
            raise ControllerUnreachableError(Problem("HNV-NC-001", "no answer"))
        self.servers.append(place_of(body))
        if self._loses:
            self._loses, self._deaf = False, 2
            raise ControllerUnreachableError(Problem("HNV-NC-001", "no answer"))

    def get(self, path: str) -> dict[str, Any]:
        if self._deaf:
            self._deaf -= 1
            raise ControllerUnreachableError(Problem("HNV-NC-001", "no answer"))
        state, self._updating = ("Updating" if self._updating else "Succeeded"), max(0, self._updating - 1)
        return {
            "properties": {
                "provisioningState": state,
                "server": {"resourceRef": f"/servers/{self.servers[-1]}"},
            }
        }

    def node_states(self) -> dict[str, NodeStatus]:
        return {
            host: NodeStatus(host, "host", "Failure", "HostNotConnectedToController", "It is not there.", "")
            if host == self._away
            else NodeStatus(host, "host", "Success", "Success", "", "")
            for host in ("hv01", "hv02")
        }


def work(model: Lab, controller: Controller) -> _Work:
    tenant, vm = labs.vm(model, "blue-web")
    return _Work(cast("Any", None), model, tenant, vm, "hv02", cast("Any", controller), lambda _event: None)


def moved(
    model: Lab, controller: Controller, mover: Mover, source: str = "hv01"
) -> tuple[float | None, float]:
    return work(model, controller)._move(cast("Any", mover), INTERFACE, source)


INTERFACE = {"properties": {"server": {"resourceRef": "/servers/hv01"}, "isPrimary": True}}


def test_port_and_policy_go_to_the_destination(model: Lab) -> None:
    mover, controller = Mover(), Controller()
    move_ms, policy_ms = moved(model, controller, mover)
    assert (mover.moves, controller.servers, move_ms) == (["hv02"], ["hv01", "hv02"], 12.0)
    assert policy_ms > 0


def test_a_port_that_is_there_already_gets_its_policy_only(model: Lab) -> None:
    """What a migration that was killed half way has left."""
    mover, controller = Mover(), Controller()
    moved(model, controller, mover, "hv02")
    assert (mover.moves, controller.servers) == ([], ["hv01", "hv02"])


def test_a_refused_policy_brings_the_port_back(model: Lab) -> None:
    mover = Mover()
    with pytest.raises(MigrationError, match="HNV-NC-400") as caught:
        moved(model, Controller(refuses=True), mover)
    assert mover.moves == ["hv02", "hv01"]
    well = caught.value.problems[-1]
    assert well.message.endswith("v-blue-web is on hv01, the Network Controller has it on hv01")
    assert not well.hint


def test_a_port_that_does_not_move_takes_the_policy_back(model: Lab) -> None:
    controller = Controller()
    with pytest.raises(MigrationError, match="the kernel refused") as caught:
        moved(model, controller, Mover(fails=True))
    assert controller.servers == ["hv01", "hv02", "hv01"]
    assert caught.value.problems[-1].message.endswith("is on hv01, the Network Controller has it on hv01")


def test_a_change_whose_answer_was_lost_holds(model: Lab) -> None:
    mover, controller = Mover(), Controller(loses=True)
    moved(model, controller, mover)
    assert (mover.moves, controller.servers) == (["hv02"], ["hv01", "hv02"])


def test_a_change_that_was_never_made_brings_the_port_back(model: Lab) -> None:
    mover, controller = Mover(), Controller(dies=True)
    with pytest.raises(MigrationError, match="HNV-NC-001"):
        moved(model, controller, mover)
    assert (mover.moves, controller.servers) == (["hv02", "hv01"], ["hv01"])


def test_a_controller_that_stays_away_is_told_as_that(model: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.engine.migrate.ASK_S", 0.0)
    controller = Controller()
    monkeypatch.setattr(controller, "get", always_away)
    monkeypatch.setattr(controller, "put", always_away)
    mover = Mover()
    with pytest.raises(MigrationError, match="does not say where it has it") as caught:
        moved(model, controller, mover)
    assert mover.moves == ["hv02", "hv01"]
    assert "hnvlab up FILE" in caught.value.problems[-1].hint


def always_away(*_: object) -> None:
    raise ControllerUnreachableError(Problem("HNV-NC-001", "no answer"))


@pytest.mark.parametrize("away", ["hv01", "hv02"])
def test_a_host_that_would_not_follow_is_refused(model: Lab, away: str) -> None:
    work(model, Controller())._require_agents("hv01", "hv01")
    with pytest.raises(MigrationError, match=f"the agent of {away} is not connected") as caught:
        work(model, Controller(away=away))._require_agents("hv01", "hv01")
    assert len(caught.value.problems) == 1
    assert f"hnvlab exec {away} -- s6-svc -u /run/service/hvhost" in caught.value.problems[0].hint


def test_a_blackout_that_is_not_over_is_a_failure() -> None:
    require_over(Migration("web", "hv01", "hv02", "10.0.1.4", 1000, 300, 21, 22.25, 14.0, 35.5))
    require_over(Migration("web", "hv01", "hv02", policy_ms=35.5))
    with pytest.raises(MigrationError, match="still cut off when measuring ended: 290 of 300 probes"):
        require_over(Migration("web", "hv01", "hv02", "10.0.1.4", 1000, 300, 290, None, 14.0, 35.5))


def test_few_are_probed_and_the_router_last(model: Lab) -> None:
    """The user waits for each that does not answer."""
    tenant, vm = labs.vm(model, "blue-web")
    many = tuple(type(vm)(f"blue-{n:02}", "hv02", "app", vm.address + n, vm.mac, ()) for n in range(1, 80))
    crowded = type(tenant)(tenant.name, tenant.routing_domain, tenant.subnets, (vm, *many), None)
    found = targets(crowded, vm, {}, "hv01", "hv02")
    assert (len(found), found[-1]) == (6, "10.0.0.1")


class Space:
    """Stands for a namespace with, or without, the port."""

    def __init__(self, *, port: bool) -> None:
        self._port = port

    def link(self, name: str) -> dict[str, str] | None:
        return {"ifalias": "blue-web"} if self._port else None

    def index_at(self, destination: object) -> int:
        return 7


def test_nothing_is_probed_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM that is there already, or whose host would not follow, costs no wait."""
    said: list[Mapping[str, Any]] = []
    probed: list[object] = []

    def probe(*given: object) -> tuple[str, None]:
        probed.append(given)
        return "10.0.1.4", None

    monkeypatch.setattr(migrate_mover, "_answer", said.append)
    monkeypatch.setattr(migrate_mover, "_probe", probe)
    request = {
        "port": "v-blue-web",
        "alias": "blue-web",
        "hosts": ["hv01", "hv02"],
        "vm": "blue-web",
        "destination": "hv02",
        "targets": ["10.0.1.4"],
        "rate_pps": 1000,
    }
    spaces: Any = {"hv01": Space(port=True), "hv02": Space(port=False), "blue-web": Space(port=False)}
    migrate_mover._serve(request, [], spaces)
    assert (said, probed) == ([{"host": "hv01", "ifindex": 7}], [])
    migrate_mover._serve(request, [{"probe": True}], spaces)
    assert said[1:] == [{"host": "hv01", "ifindex": 7}, {"target": "10.0.1.4"}]

"""What a live migration measures and says; what it refuses."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, cast

import pytest

from lab.cli import labs
from lab.cli.migrate import described
from lab.engine.migrate import Migration, _Work, place_of, targets
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
        "policy followed   after 35.5 ms, on every node",
    ]
    assert described(Migration("web", "hv01", "hv01")) == ["web is on hv01 already"]
    unmeasured = described(Migration("web", "hv01", "hv02", policy_ms=30.0))
    assert "not measured" in unmeasured[1]


class Mover:
    """Stands for the program that moves ports; remembers where to."""

    def __init__(self) -> None:
        self.moves: list[str] = []

    def say(self, message: dict[str, str]) -> None:
        self.moves.append(message["move"])

    def hear(self, timeout_s: float) -> dict[str, float]:
        return {"move_ms": 12.0}


class Controller:
    """Stands for the Network Controller."""

    def __init__(self, *, refuses: bool) -> None:
        self._refuses = refuses
        self._states = ["Updating", "Updating", "Succeeded"]
        self.server = ""

    def put(self, path: str, body: dict[str, Any]) -> None:
        assert path == "/networkInterfaces/blue-web"
        if self._refuses:
            raise LabError(Problem("HNV-NC-400", "no"))
        self.server = place_of(body)

    def get(self, path: str) -> dict[str, Any]:
        return {"properties": {"provisioningState": self._states.pop(0)}}


def work(model: Lab, controller: Controller) -> _Work:
    tenant, vm = labs.vm(model, "blue-web")
    return _Work(cast("Any", None), model, tenant, vm, "hv02", cast("Any", controller), lambda _event: None)


INTERFACE = {"properties": {"server": {"resourceRef": "/servers/hv01"}, "isPrimary": True}}


def test_port_and_policy_go_to_the_destination(model: Lab) -> None:
    mover, controller = Mover(), Controller(refuses=False)
    move_ms, policy_ms = work(model, controller)._move(cast("Any", mover), INTERFACE, "hv01")
    assert (mover.moves, controller.server, move_ms) == (["hv02"], "hv02", 12.0)
    assert policy_ms > 0


def test_a_port_that_is_there_already_gets_its_policy_only(model: Lab) -> None:
    """What a migration that was killed half way has left."""
    mover, controller = Mover(), Controller(refuses=False)
    work(model, controller)._move(cast("Any", mover), INTERFACE, "hv02")
    assert (mover.moves, controller.server) == ([], "hv02")


def test_a_refused_policy_brings_the_port_back(model: Lab) -> None:
    mover = Mover()
    with pytest.raises(LabError, match="HNV-NC-400"):
        work(model, Controller(refuses=True))._move(cast("Any", mover), INTERFACE, "hv01")
    assert mover.moves == ["hv02", "hv01"]

"""The engine against a real Docker: containers, files, wiring by a runner, commands, captures, removal."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import pytest

from lab.engine import access, containers, gc, images, observe, owner, runner, up
from lab.engine.capture import Capture, CaptureError
from lab.engine.containers import ContainerError, Credentials
from lab.engine.context import ContextFile
from lab.engine.docker_engine import connect
from lab.engine.down import down, remove_all
from lab.engine.events import Event, LogLine
from lab.engine.images import Blueprint, ImageBuildError
from lab.engine.pki import NodeTls
from lab.engine.state import LabRecord, LabState, state_root
from lab.engine.wiring import Link, Port, Wiring
from lab.errors import ExitCode, Problem, UnfitEnvironmentError, WaitTimeoutError
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan import marks
from lab.plan.container import ContainerSpec
from lab.testing import eventually

pytestmark = pytest.mark.docker

LAB = f"engine-test-{os.getpid()}"
NOTHING = Credentials({}, "")
MARK = "from lab.engine import owner; print(owner.mark())"
TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    return connect(lambda _event: None)


@pytest.fixture(scope="module")
def built(client: docker.DockerClient) -> Mapping[str, str]:
    """The node images; built where they are missing."""
    return images.ensure(client, {"vm", "fabric"}, lambda _event: None)


@pytest.fixture(autouse=True)
def removal(client: docker.DockerClient) -> Iterator[None]:
    yield
    remove_all(client, LAB, lambda _event: None)
    assert observe.everything(client, LAB) == ((), ())


@pytest.fixture
def spec(built: Mapping[str, str]) -> ContainerSpec:
    """A container that does nothing for long."""
    return ContainerSpec(
        name=f"{LAB}-one",
        node="one",
        image=built["vm"],
        command=("sleep", "300"),
        environment={"COMPANY": "Blue"},
        capabilities=("NET_ADMIN",),
        devices=(),
        security_options=(),
        labels={marks.LAB: LAB, marks.NODE: "one", marks.KIND: "vm", marks.SPEC: "abc"},
        dns=("192.168.50.53",),
        sysctls={"net.ipv4.ip_forward": "1"},
        files={},
        texts={},
        tls=False,
        token=False,
        network=None,
        published_ports=(),
        spec_hash="abc",
    )


def brought_up(client: docker.DockerClient, spec: ContainerSpec, credentials: Credentials = NOTHING) -> str:
    containers.create(client, spec, credentials)
    containers.start(client, spec.name, spec.node)
    return spec.name


def named(spec: ContainerSpec, node: str) -> ContainerSpec:
    return replace(spec, name=f"{LAB}-{node}", node=node, labels={**spec.labels, marks.NODE: node})


def says(client: docker.DockerClient, container: str, command: str) -> str:
    done = access.run(client, container, ["sh", "-c", command])
    assert done.exit_code == 0, done
    return done.stdout.strip()


def test_a_container_is_as_its_specification_says(client: docker.DockerClient, spec: ContainerSpec) -> None:
    name = brought_up(client, spec)
    assert says(client, name, "echo $COMPANY; hostname; cat /proc/sys/net/ipv4/ip_forward") == "Blue\none\n1"
    assert "192.168.50.53" in says(client, name, "cat /etc/resolv.conf")
    assert says(client, name, "ls /sys/class/net") == "lo"
    attributes = client.api.inspect_container(name)
    assert attributes["HostConfig"]["Init"] is True
    assert attributes["HostConfig"]["Privileged"] is False
    assert attributes["HostConfig"]["CapAdd"] == ["NET_ADMIN"]


def test_files_are_there_before_the_first_process(
    client: docker.DockerClient, spec: ContainerSpec, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ncat /etc/hnvlab/node.json; exec sleep 300\n")
    program.chmod(0o755)
    credentials = Credentials({"one": NodeTls(b"CA", b"CERT", b"KEY")}, "TOKEN")
    wanted = replace(
        spec,
        command=("/srv/deep/program",),
        files={"/srv/deep/program": program},
        texts={"/etc/hnvlab/node.json": "identity\n"},
        tls=True,
        token=True,
    )
    name = brought_up(client, wanted, credentials)
    assert (
        says(client, name, "cd /etc/hnvlab/tls && cat ca.pem cert.pem key.pem ../token") == "CACERTKEYTOKEN"
    )
    assert (
        says(client, name, "stat -c %a,%U /etc/hnvlab/tls/key.pem /etc/hnvlab/token") == "600,root\n600,root"
    )

    def said() -> None:
        assert containers.last_log(client, name, 5) == "identity"

    eventually(said, within_s=10)


def test_a_container_that_cannot_be_made_leaves_nothing(
    client: docker.DockerClient, spec: ContainerSpec
) -> None:
    with pytest.raises(ContainerError, match=f"{LAB}-one cannot be made"):
        containers.create(client, replace(spec, image="hnvlab/no-such-image"), NOTHING)
    assert observe.nodes(client, LAB) == ()


def test_a_container_that_ended_is_reported_with_its_last_words(
    client: docker.DockerClient, spec: ContainerSpec
) -> None:
    name = brought_up(client, replace(spec, command=("sh", "-c", "echo no database here; exit 3")))
    client.api.wait(name)
    problem = containers.ended(client, name, "one").problems[0]
    assert "exit 3" in problem.message
    assert "no database here" in problem.hint


def test_the_machine_is_observed_by_marks(client: docker.DockerClient, spec: ContainerSpec) -> None:
    brought_up(client, spec)
    containers.create(client, named(spec, "two"), NOTHING)
    containers.create(client, replace(named(spec, "squatter"), labels={}), NOTHING)
    containers.create_network(client, marks.network_name(LAB), LAB)
    try:
        seen = observe.observe(client, LAB)
        assert {(c.node, c.lab, c.running, c.spec_hash) for c in seen.containers} == {
            ("one", LAB, True, "abc"),
            ("two", LAB, False, "abc"),
            ("", None, False, ""),
        }
        assert [(n.name, n.lab) for n in seen.networks] == [(marks.network_name(LAB), LAB)]
        assert seen.unwired == {"one"}
        assert LAB in observe.labs(client)
    finally:
        containers.remove(client, f"{LAB}-squatter")


def test_a_runner_container_wires_as_root_does(
    client: docker.DockerClient,
    spec: ContainerSpec,
    built: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The way of an ordinary user: no privilege of this process is used."""
    monkeypatch.setattr(runner, "can_wire_directly", lambda _processes: False)
    ends = {node: brought_up(client, named(spec, node)) for node in ("one", "two")}
    processes = runner.pids(client, ends)
    link = Link(
        Port("one", "eth0", mac="02:00:00:00:00:01", addresses=("10.0.0.1/24",)),
        Port("two", "eth0", addresses=("10.0.0.2/24",)),
    )
    wiring = Wiring(links=(link,))
    assert runner.apply(client, LAB, built["fabric"], wiring, processes).changes
    assert "1 received" in says(client, ends["one"], "ping -c1 -W2 10.0.0.2")
    assert runner.apply(client, LAB, built["fabric"], wiring, processes).changes == ()
    assert len(observe.everything(client, LAB)[0]) == 2, "the runner is gone"
    unusable = Wiring(links=(Link(Port("one", "x" * 16), Port("two", "y")),))
    with pytest.raises(runner.WiringFailedError, match="one: "):
        runner.apply(client, LAB, built["fabric"], unusable, processes)


@pytest.mark.root
def test_root_wires_containers_of_this_machine_directly(
    client: docker.DockerClient, spec: ContainerSpec
) -> None:
    processes = runner.pids(client, {"one": brought_up(client, spec)})
    assert runner.can_wire_directly(processes)
    assert not runner.can_wire_directly({"one": os.getpid()}), "that is our own namespace"


def test_commands_give_their_exit_code_and_both_streams(
    client: docker.DockerClient, spec: ContainerSpec
) -> None:
    name = brought_up(client, spec)
    done = access.run(client, name, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert done == access.CommandResult(7, "out\n", "err\n")


def test_a_command_that_takes_too_long_is_given_up(client: docker.DockerClient, spec: ContainerSpec) -> None:
    name = brought_up(client, spec)
    with pytest.raises(TimeoutError, match="sleep"):
        access.run(client, name, ["sleep", "60"], timeout_s=0.5)

    def ended() -> None:
        assert "sleep 60" not in says(client, name, "ps -e -o args")

    eventually(ended, within_s=10)


def test_who_stops_waiting_for_a_command_ends_it(
    client: docker.DockerClient, spec: ContainerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = brought_up(client, spec)
    inspect = client.api.exec_inspect
    early = iter([{"Pid": 0}] * 3)  # the engine hands on output before it knows the process id
    monkeypatch.setattr(client.api, "exec_inspect", lambda made: inspect(made) | next(early, {}))

    def stop(_piece: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        access.stream(client, name, ["sh", "-c", "echo begun; sleep 61; true"], stop, stop)

    def ended() -> None:
        assert "sleep 61" not in says(client, name, "ps -e -o args")

    eventually(ended, within_s=10)


def test_a_command_reads_what_it_is_given(client: docker.DockerClient, spec: ContainerSpec) -> None:
    name = brought_up(client, spec)
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(b"a line\n" * 1000)
    done = access.run(client, name, ["wc", "-l"], timeout_s=20, stdin=reading)
    os.close(reading)
    assert done == access.CommandResult(0, "1000\n", "")
    assert access.run(client, name, ["cat"], timeout_s=20).stdout == "", "nothing to read, by default"


def test_a_command_that_is_not_there_has_no_output(client: docker.DockerClient, spec: ContainerSpec) -> None:
    done = access.run(client, brought_up(client, spec), ["no-such-command"])
    assert done.exit_code in (126, 127)
    assert done.stdout == ""
    assert "no-such-command" in done.stderr


def test_a_node_that_does_not_run_says_so(client: docker.DockerClient, spec: ContainerSpec) -> None:
    containers.create(client, spec, NOTHING)
    with pytest.raises(access.ExecError, match="does not run"):
        access.run(client, spec.name, ["true"])


@dataclass
class Traffic:
    """What a capture has said so far."""

    pcap: bytes = b""
    words: bytes = b""

    def out(self, piece: bytes) -> None:
        self.pcap += piece

    def err(self, piece: bytes) -> None:
        self.words += piece


def test_a_capture_is_whole_when_it_is_stopped(
    client: docker.DockerClient, spec: ContainerSpec, built: Mapping[str, str]
) -> None:
    brought_up(client, spec)
    (node,) = observe.nodes(client, LAB)
    capture, traffic = Capture(client, LAB, node, built["fabric"]), Traffic()
    running = threading.Thread(target=capture.run, args=("lo", ["-w", "-"], traffic.out, traffic.err))
    running.start()

    def listens() -> None:
        assert b"listening on lo" in traffic.words

    eventually(listens, within_s=20)
    says(client, node.container, "ping -c2 -i0.01 127.0.0.1")
    capture.stop()
    running.join(timeout=20)
    assert not running.is_alive()
    assert traffic.pcap.startswith(b"\xd4\xc3\xb2\xa1")
    assert b"4 packets captured" in traffic.words
    assert len(observe.everything(client, LAB)[0]) == 1, "the capture's container is gone"


def test_a_capture_that_is_stopped_before_it_began_ends(
    client: docker.DockerClient, spec: ContainerSpec, built: Mapping[str, str]
) -> None:
    brought_up(client, spec)
    (node,) = observe.nodes(client, LAB)
    capture, traffic = Capture(client, LAB, node, built["fabric"]), Traffic()
    capture.stop()
    running = threading.Thread(target=capture.run, args=("lo", [], traffic.out, traffic.err), daemon=True)
    running.start()
    running.join(timeout=20)
    assert not running.is_alive()
    assert len(observe.everything(client, LAB)[0]) == 1


def helper(client: docker.DockerClient, image: str, owner_mark: str) -> str:
    """A throw-away container that runs."""
    labels = {marks.LAB: LAB, marks.KIND: observe.HELPER, owner.LABEL: owner_mark}
    made = client.api.create_container(image=image, command=["sleep", "300"], labels=labels)["Id"]
    client.api.start(made)
    return str(made)


def test_helpers_go_with_the_process_that_needs_them(
    client: docker.DockerClient, built: Mapping[str, str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", MARK], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        forsaken = helper(client, built["vm"], other.stdout.read().strip())
    needed = helper(client, built["vm"], owner.mark())
    unknown = helper(client, built["vm"], "another-machine pid:[1] 1 2")
    found = gc.leftovers(client).helpers
    assert forsaken in found
    assert not {needed, unknown} & set(found)
    client.api.kill(needed)
    client.api.kill(unknown)

    def only_the_needed_one_stays() -> None:
        found = gc.leftovers(client).helpers
        assert unknown in found
        assert needed not in found, "its owner removes it"

    eventually(only_the_needed_one_stays, within_s=10)


def test_gc_keeps_the_state_of_a_lab_that_came_up_meanwhile(
    client: docker.DockerClient, spec: ContainerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    root = state_root()
    state, busy = LabState(LAB, root), LabState(f"{LAB}-busy", root)
    for item in (state, busy):
        item.save(LabRecord(Path("/labs/trial.yml")))
    found = gc.Leftovers(states=gc.leftovers(client).states)
    assert found.states == (LAB, f"{LAB}-busy")
    containers.create(client, spec, NOTHING)
    with busy.locked():
        gc.collect(client, found)
    assert state.load() is not None
    assert busy.load() is not None
    remove_all(client, LAB, lambda _event: None)
    gc.collect(client, found)
    assert (state.load(), busy.load()) == (None, None)


def test_a_capture_on_no_interface_says_what_there_is_to_do(
    client: docker.DockerClient, spec: ContainerSpec, built: Mapping[str, str]
) -> None:
    brought_up(client, spec)
    (node,) = observe.nodes(client, LAB)
    traffic = Traffic()
    with pytest.raises(CaptureError, match="one:pa9") as caught:
        Capture(client, LAB, node, built["fabric"]).run("pa9", [], traffic.out, traffic.err)
    assert "ip link" in caught.value.problems[0].hint
    assert b"pa9" in traffic.words


def test_down_removes_by_mark_and_leaves_what_is_not_ours(
    client: docker.DockerClient, spec: ContainerSpec, tmp_path: Path
) -> None:
    neighbour = replace(
        named(spec, "neighbour"),
        name=f"{LAB}-x-neighbour",
        labels={marks.LAB: f"{LAB}-x", marks.NODE: "neighbour"},
    )
    containers.create(client, neighbour, NOTHING)
    brought_up(client, spec)
    containers.create(client, named(spec, "two"), NOTHING)
    containers.create_network(client, marks.network_name(LAB), LAB)
    state = LabState(LAB, tmp_path)
    state.save(LabRecord(Path("/labs/trial.yml")))
    try:
        assert down(client, LAB, state, lambda _event: None) == 4
        assert observe.everything(client, LAB) == ((), ())
        assert state.load() is None
        assert down(client, LAB, state, lambda _event: None) == 0
        assert len(observe.nodes(client, f"{LAB}-x")) == 1
    finally:
        remove_all(client, f"{LAB}-x", lambda _event: None)


def test_down_takes_what_appears_while_it_removes(client: docker.DockerClient, spec: ContainerSpec) -> None:
    """An `up` that was killed has left a request with the engine."""
    containers.create(client, spec, NOTHING)
    late: list[str] = []

    def on_removal(_event: Event) -> None:
        if not late:
            late.append("two")
            containers.create(client, named(spec, "two"), NOTHING)

    assert remove_all(client, LAB, on_removal) == 2
    assert observe.everything(client, LAB) == ((), ())


def test_a_build_that_fails_shows_its_last_lines(client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\nCOPY missing /\n")
    files = (ContextFile("Dockerfile", tmp_path / "Dockerfile"),)
    plan = Blueprint("broken", f"hnvlab/broken:{os.getpid()}", "scratch", files, None)
    events: list[Event] = []
    with pytest.raises(ImageBuildError) as caught:
        images._build(client, plan, events.append)
    problem = caught.value.problems[0]
    assert problem.place == "images/broken/Dockerfile"
    assert "missing" in problem.message
    assert "LABEL a=b" in problem.hint
    assert any(isinstance(event, LogLine) and event.source == "broken" for event in events)


def test_an_image_that_is_nowhere_is_refused_with_a_hint(client: docker.DockerClient) -> None:
    with pytest.raises(ImageBuildError, match="hnvlab/no-such-image") as caught:
        images.ensure(client, {"hnvlab/no-such-image:1"}, lambda _event: None)
    assert "fabric" in caught.value.problems[0].hint


def test_a_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(UnfitEnvironmentError, match="no Docker engine answers") as caught:
        connect(lambda _event: None, may_start=True)
    assert caught.value.exit_code is ExitCode.UNFIT
    assert "DOCKER_HOST" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("failure", "stood_before", "left"),
    [
        (KeyboardInterrupt(), False, 0),
        (ContainerError(Problem("HNV-ENG-030", "no")), False, 0),
        (KeyboardInterrupt(), True, 1),
        (WaitTimeoutError(Problem("HNV-ENG-080", "not converged")), False, 1),
    ],
    ids=["interrupted", "failed", "a change interrupted", "not converged"],
)
def test_only_a_first_up_that_does_not_get_through_is_undone(
    client: docker.DockerClient,
    spec: ContainerSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    stood_before: bool,
    left: int,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if stood_before:
        containers.create(client, spec, NOTHING)

    def run(self: up._Up) -> str:
        if not stood_before:
            containers.create(client, spec, NOTHING)
        self.stands = isinstance(failure, WaitTimeoutError)
        raise failure

    monkeypatch.setattr(up._Up, "run", run)
    lab = replace(resolve(load(TOPOLOGY)), name=LAB)
    with pytest.raises(type(failure)):
        up.bring_up(client, lab, TOPOLOGY, lambda _event: None, timeout_s=1)
    assert len(observe.nodes(client, LAB)) == left

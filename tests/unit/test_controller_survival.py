"""What the controller still knows after SIGKILL: everything that it has acknowledged."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.controller.api import create_app
from lab.controller.catalog import parse_path
from lab.controller.client import ControllerUnreachableError
from lab.controller.controller import Controller
from lab.controller.refusals import Refused
from lab.controller.store import Commit, SqliteStore, StaleEtagError, StoredDocument, StoreVersionError
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, patched

from .controller_support import Datacenter, RunningController, error_of, hybrid_cloud, running

BLUE = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
ACKNOWLEDGED_BEFORE_KILL = 40


def put_until_killed(controller: RunningController, writer: int, enough: threading.Event) -> dict[str, str]:
    """PUT until the controller is gone; the entity tags of what it has acknowledged, by path."""
    acknowledged: dict[str, str] = {}
    with controller.client(retry_for_s=0) as client:
        for number in range(100_000):
            path = f"/credentials/w{writer}-{number}"
            body = {"properties": {"type": "UsernamePassword", "userName": "u" * 500, "value": "v"}}
            try:
                acknowledged[path] = client.put(path, body)["etag"]
            except ControllerUnreachableError:
                return acknowledged
            if number == ACKNOWLEDGED_BEFORE_KILL:
                enough.set()
    raise AssertionError("the controller was never killed")


def test_every_acknowledged_put_survives_sigkill(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        controller.put_all(hybrid_cloud())
        results: list[dict[str, str]] = []
        enough = threading.Event()
        writers = [
            threading.Thread(target=lambda n=n: results.append(put_until_killed(controller, n, enough)))
            for n in range(3)
        ]
        for writer in writers:
            writer.start()
        assert enough.wait(60)
        controller.kill()
        for writer in writers:
            writer.join()
        controller.start()
        acknowledged = {path: etag for result in results for path, etag in result.items()}
        assert len(acknowledged) > ACKNOWLEDGED_BEFORE_KILL
        with controller.client() as client:
            there = {item["resourceRef"]: item["etag"] for item in client.list("/credentials")}
            assert acknowledged.items() <= there.items()
            assert len(client.list("/networkInterfaces")) == 4


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        assert controller.stop() == 0


def states(controller: Any) -> dict[str, Any]:
    return {node: controller.policy.goal_state(node) for node in controller.fleet.names}


def test_a_restart_compiles_the_same_goal_states(tmp_path: Path) -> None:
    """Learned routes included, before any agent is back: forwarding goes on undisturbed."""
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    learned = pb.LearnedRoutes(rdid=BLUE, routes=[pb.LearnedRoute(prefix="192.168.50.0/24", metric=7)])
    connected = pb.ConnectionState(rdid=BLUE, name="blue-hq", state="Connected", bytes_in=5)
    datacenter.observe("gw01", pb.Report(connections=[connected], learned_routes=[learned]))
    after = datacenter.restarted()
    assert f"customer-route/{BLUE}/192.168.50.0/24" in datacenter.goal_state("hv01")
    assert states(after) == states(datacenter.controller)
    assert after.observations[BLUE].connections["blue-hq"].state == "Connected"


INTENT = hybrid_cloud()
STEPS = st.lists(
    st.tuples(st.sampled_from(range(len(INTENT))), st.sampled_from(["put", "put", "delete", "change"])),
    min_size=5,
    max_size=30,
)


def changed(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same resource, a little different."""
    properties = dict(body["properties"])
    if path.startswith("/networkInterfaces/"):
        properties["server"] = {"resourceRef": "/servers/hv02"}
    if path.startswith("/virtualNetworks/"):
        properties["routingDomainId"] = properties["routingDomainId"].replace("4000", "4001")
        properties["subnets"] = [*properties["subnets"][1:], properties["subnets"][0]]
    return {"properties": properties, "tags": {"changed": True}}


def converse(controller: Controller, held: dict[str, GoalState]) -> None:
    """Let every node's agent take what it is sent."""
    for name in controller.fleet.names:
        node = controller.fleet.node(name)
        assert node is not None
        if not node.connected:
            node.connect("agent", lambda: None)
        while (delta := node.next_delta(lambda: controller.policy.goal_state(name))) is not None:  # noqa: B023
            held[name] = patched(held.get(name, {}), delta)
            node.ack(delta.version)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_small_steps_and_a_restart_lead_to_the_same_goal_states(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    """Recompiling only what a change concerns must not miss anything, whatever is done in whatever order."""
    datacenter = Datacenter(tmp_path_factory.mktemp("nc"), INTENT)
    held: dict[str, GoalState] = {}
    for index, verb in steps:
        path, body = INTENT[index]
        try:
            if verb == "delete":
                datacenter.delete(path)
            else:
                datacenter.put(path, changed(path, body) if verb == "change" else body)
        except Refused:
            pass
        report = pb.Report(learned_routes=[pb.LearnedRoutes(rdid=BLUE)])
        report.learned_routes[0].routes.add(prefix=f"192.168.{index}.0/24", metric=index)
        datacenter.observe("gw01", report)
        converse(datacenter.controller, held)
    assert {name: held[name] for name in datacenter.controller.fleet.names} == states(datacenter.controller)
    after = datacenter.restarted()
    assert after.inventory.allocations == datacenter.controller.inventory.allocations
    wanted = {node: after.policy.goal_state(node) for node in datacenter.controller.fleet.names}
    assert states(datacenter.controller) == wanted
    datacenter.store.close()


# --- the store ---


def test_commit_compares_and_swaps(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    store.commit(Commit(key="/a", document=StoredDocument("1", "{}"), allocations={("kind", "me"): "x"}))
    for stale in ("", "2"):
        with pytest.raises(StaleEtagError):
            store.commit(Commit("/a", stale, StoredDocument("3", "{}"), allocations={("kind", "me"): "y"}))
    assert store.load().documents["/a"].etag == "1"
    assert store.load().allocations == {("kind", "me"): "x"}
    store.commit(Commit("/a", "1", None, allocations={("kind", "me"): None}, observations={"r": "o"}))
    contents = SqliteStore(tmp_path / "db").load()
    assert (contents.documents, contents.allocations, contents.observations) == ({}, {}, {"r": "o"})


def test_a_commit_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    unstorable: Any = object()
    with pytest.raises(sqlite3.Error):
        store.commit(Commit("/a", document=StoredDocument("1", "{}"), observations={"r": unstorable}))
    store.commit(Commit("/b", document=StoredDocument("1", "{}")))
    assert SqliteStore(tmp_path / "db").load().documents.keys() == {"/b"}


def test_the_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    store.commit(Commit("/a", document=StoredDocument("1", "{}")))
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("db*")} == {0}
    store.close()


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreVersionError, match="schema 99"):
        SqliteStore(tmp_path / "db")


class BrokenStore(SqliteStore):
    """A disk that is full."""

    broken = False

    def commit(self, commit: Commit) -> None:
        if self.broken:
            raise OSError("no space left on device")
        super().commit(commit)


def test_what_cannot_be_stored_has_not_happened(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    datacenter.store.close()
    store = BrokenStore(tmp_path / "controller.db")
    datacenter.store = datacenter.controller._store = store
    before = states(datacenter.controller)
    store.broken = True
    with pytest.raises(OSError, match="no space"):
        datacenter.put("/servers/hv03", {"properties": {}})
    with pytest.raises(OSError, match="no space"):
        datacenter.delete("/networkInterfaces/blue-web")
    path = parse_path("/servers/hv03")
    assert path is not None
    assert datacenter.controller.inventory.find(path) is None
    assert states(datacenter.controller) == before == states(datacenter.restarted())


def test_a_fault_inside_has_the_error_shape(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, [])
    store = BrokenStore(tmp_path / "controller.db")
    datacenter.controller._store = store
    store.broken = True
    app: Any = create_app(datacenter.controller, "token")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://nc") as client:
            headers = {"Authorization": "Bearer token"}
            return await client.put("/networking/v1/servers/hv01", json={"properties": {}}, headers=headers)

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert "no space left" in error_of(answer.json())["message"]

"""The southbound server, spoken to by real agents' streams over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from lab.controller.client import ControllerClient
from lab.controller.southbound import create_server
from lab.southbound import southbound_pb2 as pb
from lab.southbound.agent import run_agent
from lab.southbound.identity import NodeIdentity
from lab.southbound.keys import GoalState

from .controller_support import (
    WITHIN_S,
    Authority,
    Datacenter,
    FakeAgent,
    RunningController,
    agent,
    free_port,
    hybrid_cloud,
    interface,
    running,
)

BLUE = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
RED = "5d0c4d4a-0b1e-4000-8000-0000000000e1"
SITE_ROUTE = f"customer-route/{BLUE}/192.168.50.0/24"
PEER_ROUTE = f"customer-route/{BLUE}/192.168.50.1/32"


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[RunningController]:
    with running(tmp_path) as process:
        process.put_all(hybrid_cloud())
        yield process


@pytest.fixture
def api(controller: RunningController) -> Iterator[ControllerClient]:
    with controller.client() as client:
        yield client


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 4 * WITHIN_S))


async def eventually(look: Callable[[], Any], expected: Any) -> None:
    """Wait until a look at the API gives what is expected."""
    seen: Any = None
    try:
        async with asyncio.timeout(WITHIN_S):
            while (seen := await asyncio.to_thread(look)) != expected:
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert seen == expected


@asynccontextmanager
async def fabric(controller: RunningController) -> AsyncIterator[tuple[FakeAgent, FakeAgent]]:
    """hv01 and gw01, both with their snapshots."""
    async with agent(controller, "hv01", "host") as host, agent(controller, "gw01", "gateway") as gateway:
        await host.take()
        await gateway.take()
        yield host, gateway


def report(*prefixes: str, state: str = "Connected", rdid: str = BLUE, site: str = "blue-hq") -> pb.Report:
    return pb.Report(
        connections=[
            pb.ConnectionState(rdid=rdid, name=site, state=state, since_unix_s=1, bytes_in=11, bytes_out=22)
        ],
        bgp_peers=[pb.BgpPeerState(rdid=rdid, name=site, state=state, prefixes=len(prefixes))],
        learned_routes=[
            pb.LearnedRoutes(rdid=rdid, routes=[pb.LearnedRoute(prefix=p, metric=100) for p in prefixes])
        ],
    )


def test_snapshot_then_delta(controller: RunningController, api: ControllerClient) -> None:
    async def scenario() -> None:
        async with agent(controller, "hv01", "host") as host:
            first = await host.take()
            assert first.snapshot
            assert host.keys("port/") == {"port/blue-web", "port/red-app"}
            await eventually(lambda: api.node_states()["hv01"].status, "Success")
            before = dict(host.goal)
            body = api.get("/networkInterfaces/blue-app")
            body["properties"]["server"] = {"resourceRef": "/servers/hv01"}
            api.put("/networkInterfaces/blue-app", body)
            second = await host.take()
            assert not second.snapshot
            assert second.version > first.version
            changed = {item.key for item in second.upserts}
            gone = f"provider-member/{BLUE}/192.168.6.11"
            assert changed == {"port/blue-app", "lookup/5002/10.0.1.4"}
            assert list(second.removes) == [gone]
            assert host.goal.keys() - before.keys() == {"port/blue-app"}
            await eventually(
                lambda: api.get("/networkInterfaces/blue-app")["properties"]["provisioningState"], "Succeeded"
            )

    run(scenario)


def test_put_is_updating_until_the_node_has_answered(
    controller: RunningController, api: ControllerClient
) -> None:
    async def scenario() -> None:
        async with agent(controller, "hv01", "host") as host:
            await host.take()
            await eventually(lambda: api.node_states()["hv01"].status, "Success")
            body = api.get("/networkInterfaces/blue-web")
            body["properties"]["privateMacAddress"] = "001DD8B71C00"
            written = api.put("/networkInterfaces/blue-web", body)["properties"]
            assert written["provisioningState"] == "Updating"
            assert written["configurationState"]["status"] == "InProgress"
            assert api.node_states()["hv01"].status == "InProgress"
            await host.take()

            def look() -> Any:
                return api.get("/networkInterfaces/blue-web")["properties"]

            await eventually(lambda: look()["provisioningState"], "Succeeded")
            assert look()["configurationState"]["status"] == "Success"

    run(scenario)


def test_nack_is_shown_and_does_not_stop_the_rest(
    controller: RunningController, api: ControllerClient
) -> None:
    def refuse(delta: pb.GoalStateDelta) -> list[pb.Fault]:
        bad = [item.key for item in delta.upserts if item.port.mac == "00:1d:d8:b7:1c:00"]
        return [pb.Fault(record_key=key, code="PortBlocked", message="no such vport") for key in bad]

    async def scenario() -> None:
        async with agent(controller, "hv01", "host", refuse=refuse) as host:
            await host.take()
            body = api.get("/networkInterfaces/blue-web")
            body["properties"]["privateMacAddress"] = "001DD8B71C00"
            api.put("/networkInterfaces/blue-web", body)
            await host.take_until(
                lambda goal: goal["lookup/5001/10.0.0.4"].lookup_record.mac.endswith("1c:00")
            )
            assert host.goal["port/blue-web"].port.mac == "00:15:5d:0a:00:04"
            await eventually(lambda: api.node_states()["hv01"].code, "PortBlocked")
            shown = api.get("/networkInterfaces/blue-web")["properties"]
            assert shown["provisioningState"] == "Failed"
            assert shown["configurationState"]["detailedInfo"][0]["message"] == "no such vport"
            assert api.get("/networkInterfaces/red-app")["properties"]["provisioningState"] == "Succeeded"
            body["properties"]["privateMacAddress"] = "001DD8B71C01"
            api.put("/networkInterfaces/blue-web", body)
            await host.take_until(lambda goal: goal["port/blue-web"].port.mac.endswith("1c:01"))
            await eventually(lambda: api.node_states()["hv01"].status, "Success")

    run(scenario)


def test_a_change_made_while_an_agent_is_away_is_in_its_snapshot(
    controller: RunningController, api: ControllerClient
) -> None:
    async def scenario() -> None:
        async with agent(controller, "hv01", "host") as host:
            await host.take()
        await eventually(lambda: api.node_states()["hv01"].code, "HostNotConnectedToController")
        api.delete("/networkInterfaces/red-app")
        async with agent(controller, "hv01", "host") as host:
            assert (await host.take()).snapshot
            assert host.keys("port/") == {"port/blue-web"}
            assert not host.keys("virtual-subnet/6")
            await eventually(lambda: api.node_states()["hv01"].status, "Success")

    run(scenario)


@pytest.mark.parametrize("second", ["a", "b"])
def test_a_second_stream_of_a_node_ends_the_first(
    controller: RunningController, api: ControllerClient, second: str
) -> None:
    """Also one of the same run of the agent, which knows of a dead stream before the controller does."""

    async def scenario() -> None:
        async with agent(controller, "hv01", "host", instance="a") as old:
            await old.take()
            async with agent(controller, "hv01", "host", instance=second) as new:
                assert (await new.take()).snapshot
                assert await asyncio.wait_for(old.ended(), WITHIN_S) == grpc.StatusCode.ABORTED
                api.delete("/networkInterfaces/red-app")
                await new.take_until(lambda goal: "port/red-app" not in goal)
                await eventually(lambda: api.node_states()["hv01"].status, "Success")

    run(scenario)


@pytest.mark.parametrize(
    ("node", "kind", "certificate", "code"),
    [
        ("hv01", "host", "hv02", grpc.StatusCode.UNAUTHENTICATED),
        ("hv01", "gateway", "hv01", grpc.StatusCode.FAILED_PRECONDITION),
        ("", "host", "hv01", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_who_is_not_who_it_says_is_refused(
    controller: RunningController, node: str, kind: str, certificate: str, code: grpc.StatusCode
) -> None:
    async def scenario() -> None:
        async with agent(controller, node, kind, certificate=certificate) as stranger:
            assert await asyncio.wait_for(stranger.ended(), WITHIN_S) == code

    run(scenario)


def test_an_agent_without_a_certificate_of_the_lab_gets_nowhere(
    controller: RunningController, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    trusting = other.issue("hv01") / "ca.pem"
    trusting.write_bytes((controller.authority.issue("controller") / "ca.pem").read_bytes())

    async def scenario() -> None:
        async with agent(replace(controller, authority=other), "hv01", "host") as stranger:
            assert await asyncio.wait_for(stranger.ended(), WITHIN_S) == grpc.StatusCode.UNAVAILABLE

    run(scenario)


def test_an_agent_may_come_before_its_resource(controller: RunningController, api: ControllerClient) -> None:
    async def scenario() -> None:
        async with agent(controller, "hv03", "host") as host:
            await asyncio.to_thread(api.put, "/servers/hv03", {"properties": {}})
            assert (await host.take()).snapshot
            assert host.keys("") == {"provider-address/192.168.6.13"}

    run(scenario)


# --- what the gateway learns ---


def test_learned_routes_appear_and_vanish(controller: RunningController, api: ControllerClient) -> None:
    async def scenario() -> None:
        async with fabric(controller) as (host, gateway):
            assert SITE_ROUTE not in host.goal
            await gateway.report(report("192.168.50.0/24"))
            await host.take_until(lambda goal: SITE_ROUTE in goal)
            route = host.goal[SITE_ROUTE].customer_route
            assert (route.vsid, route.next_hop) == (5003, "10.0.2.2")
            assert PEER_ROUTE in host.goal
            assert not [key for key in host.goal if RED in key and "192.168.50." in key]
            router = api.get("/virtualGateways/blue/bgpRouters/blue-router")["properties"]
            assert router["learnedRoutes"] == [{"destinationPrefix": "192.168.50.0/24", "metric": 100}]
            await gateway.report(report())
            await host.take_until(lambda goal: SITE_ROUTE not in goal)
            assert PEER_ROUTE in host.goal
            await gateway.report(report(state="Disconnected"))
            await host.take_until(lambda goal: PEER_ROUTE not in goal)

    run(scenario)


def test_connection_and_peer_states(controller: RunningController, api: ControllerClient) -> None:
    async def scenario() -> None:
        async with fabric(controller) as (_, gateway):
            await gateway.report(report("192.168.50.0/24"))
            await eventually(
                lambda: [link.state for link in api.connection_states()], ["Connected", "Disconnected"]
            )
            assert [link.state for link in api.peer_states()] == ["Connected", "Connecting"]
            shown = api.get("/virtualGateways/blue/networkConnections/blue-hq")["properties"]
            assert shown["statistics"] == {"inboundBytes": 11, "outboundBytes": 22}
            assert shown["gateway"] == {"resourceRef": "/gateways/gw01"}
            assert "day" in shown["connectionUpTime"]
            assert api.get("/gateways/gw01")["properties"]["healthState"] == "Healthy"
            failed = report(state="Connecting")
            failed.connections[0].last_error = "AUTHENTICATION_FAILED"
            await gateway.report(failed)
            await eventually(lambda: api.connection_states()[0].error, "AUTHENTICATION_FAILED")

    run(scenario)


def test_faults_of_a_report_are_a_warning(controller: RunningController, api: ControllerClient) -> None:
    async def scenario() -> None:
        async with fabric(controller) as (host, _):
            # A report is the whole picture: with all routes of a hundred tenants it exceeds gRPC's 4 MiB.
            faults = [pb.Fault(code="PortBlocked", message="no vport yet")] * 200_000
            await host.report(pb.Report(faults=faults))
            await eventually(lambda: api.node_states()["hv01"].status, "Warning")
            await host.report(pb.Report())
            await eventually(lambda: api.node_states()["hv01"].status, "Success")

    run(scenario)


def test_only_its_own_gateway_speaks_for_a_tenant(controller: RunningController) -> None:
    async def scenario() -> None:
        async with fabric(controller) as (host, gateway):
            await host.report(report("192.168.66.0/24"))
            await gateway.report(report("192.168.50.0/24"))
            await host.take_until(lambda goal: SITE_ROUTE in goal)
            assert not host.keys(f"customer-route/{BLUE}/192.168.66.")

    run(scenario)


def test_routes_stay_while_the_gateways_agent_is_away(
    controller: RunningController, api: ControllerClient
) -> None:
    """Forwarding goes on without agents and without the controller; so must the policy for it."""

    async def scenario() -> None:
        async with agent(controller, "hv01", "host") as host:
            await host.take()
            async with agent(controller, "gw01", "gateway") as gateway:
                await gateway.take()
                await gateway.report(report("192.168.50.0/24"))
                await host.take_until(lambda goal: SITE_ROUTE in goal)
            await eventually(lambda: api.node_states()["gw01"].code, "VirtualServerUnreachable")
            assert api.connection_states()[0].state == "Connected"
        controller.kill()
        controller.start()
        async with agent(controller, "hv01", "host") as host:
            await host.take()
            assert SITE_ROUTE in host.goal
            async with agent(controller, "gw01", "gateway") as gateway:
                await gateway.take()
                # An agent that has just started has not looked at its compartments yet.
                await gateway.report(pb.Report())
                await gateway.report(report("192.168.51.0/24"))
                await host.take_until(lambda goal: f"customer-route/{BLUE}/192.168.51.0/24" in goal)
                assert len(host.deltas) == 2
                assert SITE_ROUTE not in host.goal

    run(scenario)


def test_a_tenant_that_goes_leaves_nothing(controller: RunningController, api: ControllerClient) -> None:
    async def scenario() -> None:
        async with fabric(controller) as (host, gateway):
            await gateway.report(report("192.168.50.0/24"))
            await host.take_until(lambda goal: SITE_ROUTE in goal)
            api.delete("/virtualGateways/blue")
            await gateway.take_until(lambda goal: not [key for key in goal if BLUE in key])
            await host.take_until(lambda goal: SITE_ROUTE not in goal)
            for name in ("blue-web", "blue-app"):
                api.delete(f"/networkInterfaces/{name}")
            await host.take_until(lambda goal: not [key for key in goal if BLUE in key or "/500" in key])
            api.delete("/virtualNetworks/blue")
            assert gateway.keys("compartment/") == {f"compartment/{RED}"}

    run(scenario)


def test_a_snapshot_larger_than_grpcs_own_limit_arrives(tmp_path: Path) -> None:
    """gRPC refuses messages above 4 MiB unless told otherwise; here one of 18,000 virtual subnets."""
    lab = Datacenter(tmp_path, hybrid_cloud())
    subnets = [
        {
            "resourceId": f"a-virtual-subnet-{n}",
            "properties": {"addressPrefix": f"10.{n // 256}.{n % 256}.0/24", "virtualSubnetId": 10_000 + n},
        }
        for n in range(18_000)
    ]
    space = {"addressPrefixes": ["10.0.0.0/8"]}
    lab.put("/virtualNetworks/huge", {"properties": {"addressSpace": space, "subnets": subnets}})
    server = {"resourceRef": "/servers/hv01"}
    on = "/virtualNetworks/huge/subnets/a-virtual-subnet-0"
    lab.put("/networkInterfaces/vm", interface("10.0.0.4", on, server=server))
    goal = lab.goal_state("hv01")
    assert pb.GoalStateDelta(upserts=goal.values()).ByteSize() > 4 * 1024 * 1024

    class Keeper:
        def __init__(self) -> None:
            self.changed = asyncio.Event()
            self.goal: asyncio.Queue[GoalState] = asyncio.Queue()

        async def apply(self, goal: GoalState, *_touched: object) -> None:
            self.goal.put_nowait(dict(goal))

        def report(self) -> pb.Report:
            return pb.Report()

    async def meet() -> GoalState:
        authority, port, keeper = Authority(tmp_path / "tls"), free_port(), Keeper()
        southbound = create_server(lab.controller, "127.0.0.1", port, authority.issue("controller"))
        await southbound.start()
        identity = NodeIdentity("lab", "hv01", "host", "127.0.0.1")
        tls = authority.issue("hv01")
        agent = asyncio.create_task(run_agent(identity, "host", keeper, tls=tls, port=port))
        try:
            return await asyncio.wait_for(keeper.goal.get(), WITHIN_S)
        finally:
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)
            await southbound.stop(None)

    assert asyncio.run(meet()) == goal

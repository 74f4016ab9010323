"""Runs a gateway's agent without a Network Controller: goal states come as files, reports go as files.

Started in the gateway's namespace with the path of a folder that holds `settings.json`. A new `goal` is
applied; the result goes to `answer` as JSON, with the time that it took, the latest report to `report` as
protobuf's JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from ipaddress import IPv4Network
from pathlib import Path

from google.protobuf.json_format import MessageToJson

from gwnode.agent import GatewayAgent
from gwnode.settings import Settings
from lab.datapath.front_end import FrontEnd
from lab.errors import LabError
from lab.ipsec.esp import detect_backend
from lab.model.names import interface_name
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, patch

POLL_S = 0.05


class WireEndpoint:
    """Stands for the WNV filter: what leaves a vport goes, whole, to the interface `x-TENANT` or
    `x6-TENANT` and back."""

    def __init__(self) -> None:
        self._wired: set[int] = set()

    def apply(self, goal: GoalState, _touched: Collection[str] | None = None) -> None:
        lines = []
        for record in goal.values():
            if record.HasField("compartment"):
                name = record.compartment.tenant
                lines += self._wire(interface_name("v-", name), interface_name("x-", name))
                if record.compartment.HasField("ipv6"):
                    lines += self._wire(interface_name("v6-", name), interface_name("x6-", name))
        if lines:
            tc("-batch", "-", text="\n".join(lines))

    def _wire(self, vport: str, wire: str) -> list[str]:
        """Lines for tc, unless it is done; a port that is not there is not waited for, as by the filter."""
        try:
            index = socket.if_nametoindex(vport)
        except OSError:
            return []
        done = index in self._wired or wire in tc("filter", "show", "dev", vport, "ingress")
        self._wired.add(index)
        return [] if done else [*redirect(vport, wire), *redirect(wire, vport)]

    def report(self) -> pb.Report:
        return pb.Report()


def redirect(source: str, target: str) -> list[str]:
    """Every frame that arrives at one interface leaves by the other: lines for tc."""
    return [
        f"qdisc replace dev {source} clsact",
        f"filter del dev {source} ingress",
        f"filter add dev {source} ingress protocol all prio 1 u32 match u32 0 0"
        f" action mirred egress redirect dev {target}",
    ]


def tc(*words: str, text: str = "") -> str:
    return subprocess.run(["tc", *words], input=text, check=True, capture_output=True, text=True).stdout


def main(folder: Path) -> None:
    values = json.loads((folder / "settings.json").read_text())
    settings = Settings(
        lab=values["lab"],
        namespaces=Path(values["namespaces"]),
        scan=Path(values["scan"]),
        definitions=Path(values["definitions"]),
        state=Path(values["state"]),
        transit=IPv4Network(values["transit"]),
    )
    # Before the loop begins, as in gwnode/__main__.py.
    with contextlib.closing(FrontEnd(settings.front_end, Path(values["pins"]))) as front_end:
        asyncio.run(serve(folder, settings, front_end))


async def serve(folder: Path, settings: Settings, front_end: FrontEnd) -> None:
    agent = GatewayAgent(settings, detect_backend(), WireEndpoint(), front_end)
    applied = b""
    state: dict[str, pb.Record] = {}
    while True:
        goal = (folder / "goal").read_bytes()
        if goal != applied:
            applied = goal
            message = pb.GoalStateDelta.FromString(goal)
            answer: dict[str, object] = {"version": message.version, "error": ""}
            begun = time.monotonic()
            touched = patch(state, message)
            try:
                await agent.apply(state, touched)
            except LabError as error:
                answer["error"] = str(error)
            answer["seconds"] = round(time.monotonic() - begun, 3)
            put(folder / "answer", json.dumps(answer))
        put(folder / "report", MessageToJson(agent.report(), preserving_proto_field_name=True))
        await asyncio.sleep(POLL_S)


def put(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    main(Path(sys.argv[1]))

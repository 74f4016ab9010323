"""Runs a gateway's agent without a Network Controller: goal states come as files, reports go as files.

Started in the gateway's namespace with the path of a folder that holds `settings.json`. A new `goal` is
applied; the result goes to `answer` as JSON, the latest report to `report` as protobuf's JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
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
from lab.southbound.keys import GoalState

POLL_S = 0.05


class WireEndpoint:
    """Stands for the WNV filter: what leaves a vport goes, whole, to the interface `x-TENANT` and back."""

    def apply(self, goal: GoalState, _touched: Collection[str] | None = None) -> None:
        for record in goal.values():
            if record.HasField("compartment"):
                name = record.compartment.tenant
                vport, wire = interface_name("v-", name), interface_name("x-", name)
                if wire not in tc("filter", "show", "dev", vport, "ingress"):
                    redirect(vport, wire)
                    redirect(wire, vport)

    def report(self) -> pb.Report:
        return pb.Report()


def redirect(source: str, target: str) -> None:
    """Every frame that arrives at one interface leaves by the other."""
    tc("qdisc", "replace", "dev", source, "clsact")
    tc("filter", "del", "dev", source, "ingress")
    tc(
        *("filter", "add", "dev", source, "ingress", "protocol", "all", "prio", "1", "u32"),
        *("match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", target),
    )


def tc(*words: str) -> str:
    return subprocess.run(["tc", *words], check=True, capture_output=True, text=True).stdout


async def main(folder: Path) -> None:
    values = json.loads((folder / "settings.json").read_text())
    paths = {key: Path(values[key]) for key in ("namespaces", "scan", "definitions", "state")}
    settings = Settings(lab=values["lab"], transit=IPv4Network(values["transit"]), **paths)
    front_end = FrontEnd(settings.front_end, Path(values["pins"]))
    agent = GatewayAgent(settings, detect_backend(), WireEndpoint(), front_end)
    applied = b""
    while True:
        goal = (folder / "goal").read_bytes()
        if goal != applied:
            applied = goal
            message = pb.GoalStateDelta.FromString(goal)
            answer = {"version": message.version, "error": ""}
            try:
                await agent.apply({record.key: record for record in message.upserts})
            except LabError as error:
                answer["error"] = str(error)
            put(folder / "answer", json.dumps(answer))
        put(folder / "report", MessageToJson(agent.report(), preserving_proto_field_name=True))
        await asyncio.sleep(POLL_S)


def put(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(main(Path(sys.argv[1])))

"""What the gateway's agent looks at when its goal state changes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

import pytest

from gwnode.agent import GatewayAgent
from gwnode.settings import Settings
from lab.datapath.legs import ConnectionLeg
from lab.errors import LabError, Problem
from lab.ipsec.esp import EspBackend
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

Call = tuple[str, Collection[str] | None]


class Switch:
    """Notes what it is told, and refuses once if it shall."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls, self.refuses = calls, False

    def apply(self, _goal: GoalState, touched: Collection[str] | None = None) -> None:
        self.calls.append(("switch", touched))
        if self.refuses:
            self.refuses = False
            raise LabError(Problem("HNV-POLICY-001", "no"))

    def report(self) -> pb.Report:
        return pb.Report()


class NoFrontEnd:
    """Is not asked here."""

    def apply(self, legs: Iterable[ConnectionLeg]) -> None:
        raise AssertionError(legs)


def test_what_is_the_switchs_alone_moves_no_compartment(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Call] = []
    switch = Switch(calls)

    async def follow() -> None:
        agent = GatewayAgent(Settings(lab="small"), EspBackend.KERNEL, switch, NoFrontEnd())

        def whole(goal: GoalState, *, is_change: bool) -> None:
            calls.append(("whole", {"change"} if is_change else None))
            switch.apply(goal)

        monkeypatch.setattr(agent, "_apply_whole", whole)
        await agent.apply({}, {"lookup/5001/10.0.0.4"})
        await agent.apply({}, {"lookup/5001/10.0.0.4"})
        await agent.apply({}, {"lookup/5001/10.0.0.4", "compartment/x"})
        switch.refuses = True
        with pytest.raises(LabError):
            await agent.apply({}, {"lookup/5001/10.0.0.5"})
        await agent.apply({}, {"lookup/5001/10.0.0.6"})

    asyncio.run(follow())
    first, lookup, compartment, refused, after = (
        [("whole", None), ("switch", None)],
        [("switch", {"lookup/5001/10.0.0.4"})],
        [("whole", {"change"}), ("switch", None)],
        [("switch", {"lookup/5001/10.0.0.5"})],
        [("whole", None), ("switch", None)],
    )
    assert calls == first + lookup + compartment + refused + after

"""When an on-demand connection is called, and when it is closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gwnode.connections.demand import sent_by
from lab.ipsec.calling import Dialler, followed
from lab.ipsec.dialling import Calls
from lab.ipsec.state import ChildBytes, Phase, TunnelState

from .test_gwnode_ipsec import child, tunnel

DOWN, CALLING = TunnelState(), TunnelState(Phase.CONNECTING)
UP = TunnelState(Phase.CONNECTED, children={"1": ChildBytes(0, 0)})


class Clock:
    """Time that only the test moves on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_series_of_calls_has_its_pauses_and_its_end() -> None:
    clock = Clock()
    dialler, demanded = Dialler(clock), tunnel(on_demand=True, calls=Calls(2, 5))
    dialler.look(demanded, DOWN)
    assert not dialler.take_call(demanded), "nobody has asked"
    dialler.ask()
    assert dialler.take_call(demanded)
    dialler.ask()
    assert not dialler.take_call(demanded), "one call at a time"
    dialler.look(demanded, CALLING)
    clock.now = 7
    state = dialler.look(demanded, DOWN)
    assert state.last_error == ""
    clock.now = 11.9
    assert not dialler.take_call(demanded), "the pause begins when the call ends"
    clock.now = 12
    assert dialler.take_call(demanded)
    clock.now = 19
    state = dialler.look(demanded, replace(DOWN, last_error="no common proposal"))
    assert state.last_error == "no common proposal; given up after 2 calls"
    clock.now = 99
    assert not dialler.take_call(demanded)
    dialler.ask()
    assert dialler.take_call(demanded), "the next packet begins anew"


def test_one_that_is_up_is_not_called_and_one_that_is_quiet_is_closed() -> None:
    clock = Clock()
    dialler, demanded = Dialler(clock), tunnel(on_demand=True, idle_s=10)
    dialler.ask()
    dialler.look(demanded, UP)
    assert not dialler.take_call(demanded)
    clock.now = 9
    assert not dialler.is_idle(demanded)
    dialler.look(demanded, replace(UP, children={"1": ChildBytes(1, 0)}))
    clock.now = 18
    assert not dialler.is_idle(demanded)
    clock.now = 19
    assert dialler.is_idle(demanded)
    assert not dialler.is_idle(replace(demanded, on_demand=False)), "what is always up is never idle"


def test_who_calls_always_stops_after_its_tries() -> None:
    clock = Clock()
    dialler, calling = Dialler(clock), tunnel(initiator=True, calls=Calls(1, 5))
    dialler.look(calling, DOWN)
    assert dialler.take_call(calling)
    dialler.look(calling, CALLING)
    assert "given up" in dialler.look(calling, DOWN).last_error
    clock.now = 99
    dialler.look(calling, DOWN)
    assert not dialler.take_call(calling)


def test_charon_itself_calls_only_where_nothing_is_counted() -> None:
    counted, demanded, plain = (
        tunnel(initiator=True, calls=Calls(3)),
        tunnel(on_demand=True),
        tunnel(initiator=True),
    )
    assert child(counted)["start_action"] == "none"
    assert child(demanded)["close_action"] == "none"
    assert child(plain)["start_action"] == "start"
    assert followed({"a": counted, "b": demanded, "c": plain, "d": tunnel()}).keys() == {"a", "b"}


def test_a_devices_packets_are_those_of_its_line() -> None:
    table = Path("/proc/self/net/dev").read_text().splitlines()[:2]
    table += ["    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", " hq: 9 9 9 9 9 9 9 9 1 200 30 4 0 0 5 0"]
    assert sent_by("hq", "\n".join(table)) == 239
    assert sent_by("h", "\n".join(table)) is None

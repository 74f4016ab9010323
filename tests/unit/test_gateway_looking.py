"""Looks that are taken again and again."""

from __future__ import annotations

import logging
import threading

import pytest

from gwnode.looking import look_every

PATIENCE_S = 10


def test_a_look_that_fails_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    stop, third = threading.Event(), threading.Event()
    looks: list[str] = []

    def look() -> None:
        looks.append(threading.current_thread().name)
        if len(looks) == 3:
            third.set()
        raise ValueError("BIRD says what nobody expects")

    with caplog.at_level(logging.ERROR):
        thread = look_every(0.001, look, "blue-bird", stop)
        assert third.wait(PATIENCE_S)
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert set(looks) == {"blue-bird"}
    assert "blue-bird: looked in vain" in caplog.text
    assert "nobody expects" in caplog.text

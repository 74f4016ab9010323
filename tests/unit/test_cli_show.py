"""Tables of a switch."""

from __future__ import annotations

import pytest

from lab.cli.show import _refuse_without_switch, cell, write
from lab.engine.observe import StandingNode
from lab.errors import UsageError


def test_each_table_stands_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    write(
        {
            "lookup_records": [
                {"vsid": 5001, "customer_address": "10.0.0.4", "gateway": False},
                {"vsid": 5001, "customer_address": None, "gateway": True},
            ],
            "customer_routes": [],
        }
    )
    assert capsys.readouterr().out == (
        "lookup records: 2\n"
        "VSID  CUSTOMER ADDRESS  GATEWAY\n"
        "5001  10.0.0.4          no\n"
        "5001  -                 yes\n"
        "\n"
        "customer routes: 0\n"
    )


def test_cells_are_short() -> None:
    assert [cell(value) for value in (None, True, False, 7, ["a", "b"])] == ["-", "yes", "no", "7", "a b"]


def test_a_node_without_a_switch_is_refused() -> None:
    _refuse_without_switch(StandingNode("gw01", "gateway", "x-gw01", "running", "fabric"))
    with pytest.raises(UsageError, match="blue-web is a vm"):
        _refuse_without_switch(StandingNode("blue-web", "vm", "x-blue-web", "running", "vm"))

"""Goal states as maps: keys, differences, and generated code that is in step with its definition."""

from __future__ import annotations

import filecmp
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, difference, patched, record

ROOT = Path(__file__).parents[2]
GENERATED = ("southbound_pb2.py", "southbound_pb2.pyi", "southbound_pb2_grpc.py")

lookup_records = st.builds(
    pb.LookupRecord,
    vsid=st.integers(4096, 4100),
    customer_address=st.sampled_from(["10.0.0.4", "10.0.0.5"]),
    mac=st.just("00:15:5d:0a:00:04"),
    provider_address=st.sampled_from(["192.168.6.10", "192.168.6.11"]),
)
goal_states = st.lists(lookup_records).map(lambda items: {r.key: r for r in map(record, items)})


@given(old=goal_states, new=goal_states)
def test_a_difference_takes_one_goal_state_to_the_other(old: GoalState, new: GoalState) -> None:
    upserts, removes = difference(old, new)
    delta = pb.GoalStateDelta(version=2, upserts=upserts, removes=removes)
    assert patched(old, delta) == new
    assert not {item.key for item in upserts} & set(removes)
    assert all(old.get(item.key) != item for item in upserts)


@given(old=goal_states, new=goal_states)
def test_a_snapshot_forgets_what_it_does_not_name(old: GoalState, new: GoalState) -> None:
    assert patched(old, pb.GoalStateDelta(snapshot=True, upserts=list(new.values()))) == new


def test_what_cannot_stand_in_a_record_is_refused() -> None:
    with pytest.raises(TypeError, match="no goal-state record"):
        record(pb.Hello())  # type: ignore[arg-type]


def test_the_generated_messages_are_in_step_with_their_definition(tmp_path: Path) -> None:
    outputs = [f"--{kind}={tmp_path}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", *outputs]
    subprocess.run([*command, "lab/southbound/southbound.proto"], cwd=ROOT, check=True)
    made = tmp_path / "lab" / "southbound"
    _, differing, missing = filecmp.cmpfiles(made, ROOT / "lab" / "southbound", GENERATED, shallow=False)
    assert (differing, missing) == ([], []), "run `make proto`"

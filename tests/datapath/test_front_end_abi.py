"""The compiled front end and its mirror in Python are one and the same."""

from __future__ import annotations

import ctypes
import re

import pytest

from lab.datapath import front_end_abi as fe
from lab.datapath.build import FRONT_END_SOURCE, PACKAGE, compile_object

from .switch_btf import Btf, Member, read_btf

HEADER = PACKAGE / "bpf" / "fe_abi.h"


@pytest.fixture(scope="module")
def btf(tmp_path_factory: pytest.TempPathFactory) -> Btf:
    """Of an object that holds a variable of every type, used or not."""
    types = [f"struct {name}" for name in fe.STRUCTURES] + [f"enum {name}" for name in fe.ENUMS]
    folder = tmp_path_factory.mktemp("abi")
    source = folder / "abi.c"
    variables = "\n".join(f"{name} variable_{number};" for number, name in enumerate(types))
    source.write_text(f'#include "{HEADER}"\n{variables}\n')
    return read_btf(compile_object(folder, source=source))


@pytest.mark.parametrize("name", fe.STRUCTURES)
def test_a_structure_has_the_same_members_at_the_same_places(btf: Btf, name: str) -> None:
    mirror = fe.STRUCTURES[name]
    size, members = btf.structures[name]
    assert members == [
        Member(member, getattr(mirror, member).offset, getattr(mirror, member).size)
        for member, *_ in mirror._fields_
    ]
    assert size == ctypes.sizeof(mirror)


@pytest.mark.parametrize("name", fe.ENUMS)
def test_an_enum_has_the_same_numbers(btf: Btf, name: str) -> None:
    mirror = fe.ENUMS[name]
    assert {
        text.removeprefix("HNV_FE_").removeprefix("DROP_"): number for text, number in btf.enums[name].items()
    } == {item.name: item.value for item in mirror}


@pytest.mark.parametrize(("kind", "mirror"), [("struct", fe.STRUCTURES), ("enum", fe.ENUMS)])
def test_nothing_is_missing(kind: str, mirror: dict[str, object]) -> None:
    declared = re.findall(rf"^{kind} (hnv_fe_\w+) {{", HEADER.read_text(), re.MULTILINE)
    assert set(declared) == mirror.keys()


def test_every_map_has_its_name_in_python() -> None:
    declared = re.findall(r"FE_HASH\((hnv_\w+),", (FRONT_END_SOURCE.parent / "fe_maps.h").read_text())
    assert set(declared) == {fe.LEGS, fe.VLANS, fe.TUNNELS, fe.LOCALS, fe.ACCESS, fe.COUNTERS}

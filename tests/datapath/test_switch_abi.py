"""The compiled data plane and its mirror in Python are one and the same."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from lab.datapath import abi
from lab.datapath.build import compile_object, main
from lab.datapath.errors import NoDatapathError

from .switch_btf import Btf, Member, read_btf
from .switch_object import compiled


@pytest.fixture(scope="module")
def btf() -> Btf:
    return read_btf(compiled())


@pytest.mark.parametrize("name", abi.STRUCTURES)
def test_a_structure_has_the_same_members_at_the_same_places(btf: Btf, name: str) -> None:
    mirror = abi.STRUCTURES[name]
    size, members = btf.structures[name]
    assert members == [
        Member(member, getattr(mirror, member).offset, getattr(mirror, member).size)
        for member, *_ in mirror._fields_
    ]
    assert size == ctypes.sizeof(mirror)


def test_no_structure_is_missing(btf: Btf) -> None:
    assert {name for name in btf.structures if name.startswith("hnv_")} - abi.STRUCTURES.keys() == {
        name for name in btf.structures if name.endswith("_v1")
    }


@pytest.mark.parametrize(
    ("name", "prefixes", "mirror"),
    [
        ("hnv_drop", ("HNV_DROP_", "HNV_"), abi.Drop),
        ("hnv_direction", ("HNV_",), abi.Direction),
    ],
)
def test_an_enum_has_the_same_numbers(
    btf: Btf, name: str, prefixes: tuple[str, ...], mirror: type[abi.Drop] | type[abi.Direction]
) -> None:
    def short(text: str) -> str:
        return next(text.removeprefix(prefix) for prefix in prefixes if text.startswith(prefix))

    assert {short(text): number for text, number in btf.enums[name].items()} == {
        item.name: item.value for item in mirror
    }


def test_an_address_is_mapped_and_comes_back() -> None:
    from ipaddress import IPv4Address

    value = abi.addr(IPv4Address("10.0.0.4"))
    assert bytes(value).hex() == "00000000000000000000ffff0a000004"
    assert abi.address_of(value) == IPv4Address("10.0.0.4")
    assert abi.address_of(abi.addr(None)) is None


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoDatapathError) as raised:
        compile_object(tmp_path, compiler="no-such-clang")
    assert "apt-get install clang" in str(raised.value)


def test_the_command_says_where_the_object_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'wnv.bpf.o'}\n"

"""The compiled data plane and its mirror in Python are one and the same."""

from __future__ import annotations

import ctypes
import re
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from uuid import UUID

import pytest

from lab.datapath import abi, entries
from lab.datapath.build import PACKAGE, compile_object, main
from lab.datapath.errors import NoDatapathError
from lab.datapath.policy import CustomerRoute

from .switch_btf import Btf, Member, read_btf

SOURCE = """#include "{header}"
{variables}
{assertions}
"""


@pytest.fixture(scope="module")
def btf(tmp_path_factory: pytest.TempPathFactory) -> Btf:
    """Of an object that holds a variable of every type, used or not; it compiles only if every
    constant has the same value."""
    types = [f"struct {name}" for name in abi.STRUCTURES] + [
        f"enum {name}" for name in ("hnv_drop", *abi.ENUMS)
    ]
    folder = tmp_path_factory.mktemp("abi")
    source = folder / "abi.c"
    source.write_text(
        SOURCE.format(
            header=PACKAGE / "bpf" / "abi.h",
            variables="\n".join(f"{name} variable_{number};" for number, name in enumerate(types)),
            assertions="\n".join(
                f'_Static_assert({name} == {value}u, "{name}");'
                for name, value in abi.CONSTANTS.items()
                if not name.endswith("_NONE")
            ),
        )
    )
    return read_btf(compile_object(folder, source=source))


@pytest.mark.parametrize("name", abi.STRUCTURES)
def test_a_structure_has_the_same_members_at_the_same_places(btf: Btf, name: str) -> None:
    mirror = abi.STRUCTURES[name]
    size, members = btf.structures[name]
    assert members == [
        Member(member, getattr(mirror, member).offset, getattr(mirror, member).size)
        for member, *_ in mirror._fields_
    ]
    assert size == ctypes.sizeof(mirror)


def test_no_structure_is_missing() -> None:
    declared = re.findall(r"^struct (hnv_\w+) {", (PACKAGE / "bpf" / "abi.h").read_text(), re.MULTILINE)
    assert set(declared) == abi.STRUCTURES.keys()


def test_no_enum_is_missing() -> None:
    declared = re.findall(r"^enum (hnv_\w+) {", (PACKAGE / "bpf" / "abi.h").read_text(), re.MULTILINE)
    assert set(declared) == {"hnv_drop", *abi.ENUMS}


def test_the_drop_reasons_have_the_same_numbers(btf: Btf) -> None:
    assert {
        name.removeprefix("HNV_").removeprefix("DROP_"): number
        for name, number in btf.enums["hnv_drop"].items()
    } == {item.name: item.value for item in abi.Drop}


@pytest.mark.parametrize("name", abi.ENUMS)
def test_an_enum_has_the_same_numbers(btf: Btf, name: str) -> None:
    mirror, prefix = abi.ENUMS[name]
    assert {text.removeprefix(prefix): number for text, number in btf.enums[name].items()} == {
        item.name: item.value for item in mirror
    }


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("10.0.0.4", "00000000000000000000ffff0a000004"),
        ("fd00::4", "fd000000000000000000000000000004"),
    ],
)
def test_an_address_of_either_family_comes_back(text: str, held: str) -> None:
    value = abi.addr(ip_address(text))
    assert bytes(value).hex() == held
    assert abi.address_of(value) == ip_address(text)


def test_no_address_is_all_zero() -> None:
    assert abi.address_of(abi.addr(None)) is None


@pytest.mark.parametrize("text", ["::", "::ffff:10.0.0.4"])
def test_an_address_that_would_mean_another_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no address of a station"):
        abi.addr(IPv6Address(text))


@pytest.mark.parametrize("text", ["10.0.0.0/24", "0.0.0.0/0", "fd00::/64", "::/0"])
def test_a_prefix_of_either_family_comes_back(text: str) -> None:
    prefix = ip_network(text)
    packed, _ = entries.route(CustomerRoute("route", UUID(int=1), prefix, 5001, None), 1)
    key = abi.RouteKey.from_buffer_copy(packed)
    assert abi.route_prefix(key.prefix_bits, key.prefix) == prefix


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoDatapathError) as raised:
        compile_object(tmp_path, compiler="no-such-clang")
    assert "apt-get install clang" in str(raised.value)


def test_the_command_says_where_the_objects_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    made = [tmp_path / "wnv.bpf.o", tmp_path / "frontend.bpf.o"]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in made]
    assert all(path.stat().st_size for path in made)

"""What the verifier has to do for each program, against a budget: growth is a decision, never an accident.

A program that grows past what a kernel accepts fails on somebody else's machine. The instructions that the
verifier walked (`verified`, at most one million, another figure on every kernel) say how near that is; `size`
is the program's instructions after the verifier's rewriting, all that a packet may have to go through.
"""

from __future__ import annotations

import ctypes
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.datapath.build import SOURCES
from lab.datapath.libbpf import check, library
from lab.datapath.programs import Object

from .netns import pin_directory
from .switch_object import compiled

pytestmark = pytest.mark.root

BUDGET = Path(__file__).with_name("verifier_budget.json")
HINT = (
    f"If the growth is wanted, write the figures plus about a tenth into tests/datapath/{BUDGET.name} "
    "and say in the commit what they buy."
)
BYTES_OF_INSTRUCTION = 8


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info, up to the verifier's figure (Linux 5.16)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64 * 2),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("gpl_compatible", ctypes.c_uint32),
        ("netns", ctypes.c_uint64 * 2),
        ("nr_jited", ctypes.c_uint32 * 2),
        ("jited", ctypes.c_uint64 * 2),
        ("btf_id", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("nr_info", ctypes.c_uint32 * 2),
        ("line_info", ctypes.c_uint64 * 2),
        ("nr_line", ctypes.c_uint32 * 4),
        ("prog_tags", ctypes.c_uint64),
        ("run", ctypes.c_uint64 * 3),
        ("verified_insns", ctypes.c_uint32),
        ("attach_btf_obj_id", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class Cost:
    """What a program costs the verifier, and the packets."""

    verified: int
    size: int


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    found: dict[str, Cost] = {}
    with pin_directory() as pins:
        pins.mkdir()
        for source in SOURCES:
            loaded = Object(compiled(source), pins)
            try:
                found |= {name: cost_of(loaded, name) for name in program_names(compiled(source))}
            finally:
                loaded.close()
    return found


def program_names(object_file: Path) -> list[str]:
    """All programs of an object, by libbpf's own account; the object is only opened."""
    call = library().call
    call.bpf_object__next_program.restype = call.bpf_program__name.restype = ctypes.c_void_p
    call.bpf_object__next_program.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    call.bpf_program__name.argtypes = (ctypes.c_void_p,)
    handle = call.bpf_object__open_file(str(object_file).encode(), None)
    names = []
    program = call.bpf_object__next_program(handle, None)
    while program:
        names.append(ctypes.string_at(call.bpf_program__name(program)).decode())
        program = call.bpf_object__next_program(handle, program)
    call.bpf_object__close(handle)
    return names


def cost_of(loaded: Object, name: str) -> Cost:
    info, size = _ProgramInfo(), ctypes.c_uint32(ctypes.sizeof(_ProgramInfo))
    call = library().call.bpf_obj_get_info_by_fd
    check(call(loaded.program(name).fd, ctypes.byref(info), ctypes.byref(size)), f"information about {name}")
    return Cost(info.verified_insns, info.xlated_prog_len // BYTES_OF_INSTRUCTION)


def budgets() -> dict[str, Cost]:
    """The budgets of the kernel that runs: those of its own release, else of any."""
    by_release = json.loads(BUDGET.read_text())
    release = ".".join(platform.release().split(".")[:2])
    return {name: Cost(**cost) for name, cost in by_release.get(release, by_release["any"]).items()}


def test_every_program_has_a_budget(costs: dict[str, Cost]) -> None:
    for release, named in json.loads(BUDGET.read_text()).items():
        assert costs.keys() == named.keys(), f"budgets for release {release!r}. {HINT}"


def test_no_program_exceeds_its_budget(
    costs: dict[str, Cost], record_property: Callable[[str, object], None]
) -> None:
    over = []
    allowed = budgets()
    for name, cost in costs.items():
        budget = allowed[name]
        record_property(name, f"{cost.verified} of {budget.verified} verified, {cost.size} of {budget.size}")
        if cost.verified > budget.verified or cost.size > budget.size:
            over.append(f"{name}: {cost}, budget {budget}, on Linux {platform.release()}")
    assert not over, "\n".join([*over, HINT])

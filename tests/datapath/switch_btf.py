"""Just enough of BTF (Documentation/bpf/btf.rst) to read an object's structures and enums."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

INT, PTR, ARRAY, STRUCT, UNION, ENUM = 1, 2, 3, 4, 5, 6
TYPEDEF, VOLATILE, CONST, RESTRICT = 8, 9, 10, 11
_EXTRA = {INT: 4, ARRAY: 12, 14: 4, 17: 4}
_PER_ITEM = {STRUCT: 12, UNION: 12, ENUM: 8, 13: 8, 15: 12, 19: 12}


@dataclass(frozen=True)
class Member:
    """A member of a structure; offset and size in octets."""

    name: str
    offset: int
    size: int


@dataclass
class Btf:
    """What an object says of its types."""

    structures: dict[str, tuple[int, list[Member]]] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)


def _section(elf: bytes, wanted: bytes) -> bytes:
    table, entry_size, count, names_index = (
        struct.unpack_from("<Q", elf, 40)[0],
        *struct.unpack_from("<HHH", elf, 58),
    )

    def header(index: int) -> tuple[int, int, int]:
        name = struct.unpack_from("<I", elf, table + index * entry_size)[0]
        offset, size = struct.unpack_from("<QQ", elf, table + index * entry_size + 24)
        return name, offset, size

    names = header(names_index)[1]
    for index in range(count):
        name, offset, size = header(index)
        if elf[names + name : elf.index(b"\0", names + name)] == wanted:
            return elf[offset : offset + size]
    raise LookupError(wanted)


def read_btf(path: Path) -> Btf:
    """Read the types of a little-endian ELF object."""
    data = _section(path.read_bytes(), b".BTF")
    header_len, type_off, type_len, string_off, _ = struct.unpack_from("<IIIII", data, 4)
    types = data[header_len + type_off : header_len + type_off + type_len]
    strings = data[header_len + string_off :]

    def text(offset: int) -> str:
        return strings[offset : strings.index(b"\0", offset)].decode()

    parsed: list[tuple[str, int, int, bytes]] = [("void", 0, 0, b"")]
    at = 0
    while at < len(types):
        name, info, size = struct.unpack_from("<III", types, at)
        kind, items = info >> 24 & 31, info & 0xFFFF
        length = _EXTRA.get(kind, 0) + _PER_ITEM.get(kind, 0) * items
        parsed.append((text(name), kind, size, types[at + 12 : at + 12 + length]))
        at += 12 + length

    def size_of(number: int) -> int:
        _, kind, size, body = parsed[number]
        if kind in (TYPEDEF, VOLATILE, CONST, RESTRICT):
            return size_of(size)
        if kind == ARRAY:
            element, _, count = struct.unpack("<III", body)
            return size_of(element) * int(count)
        return 8 if kind == PTR else size

    btf = Btf()
    for name, kind, size, body in parsed:
        if kind == STRUCT and name:
            members = [struct.unpack_from("<III", body, at) for at in range(0, len(body), 12)]
            btf.structures[name] = (
                size,
                [Member(text(m), bits // 8, size_of(number)) for m, number, bits in members],
            )
        if kind == ENUM:
            values = [struct.unpack_from("<Ii", body, at) for at in range(0, len(body), 8)]
            btf.enums[name] = {text(value_name): value for value_name, value in values}
    return btf

"""Maps of the kernel's, as bytes; batches where they are long: half a µs for an entry, against 4."""

from __future__ import annotations

import ctypes
import errno
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from lab.datapath.errors import DatapathError
from lab.datapath.libbpf import Descriptor, check, library, possible_cpus
from lab.errors import Problem

PERCPU_TYPES = frozenset({5, 6, 10})
"""BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH."""
ARRAY_TYPES = frozenset({2, 6})
_ARRAY, _ARRAY_OF_MAPS = 2, 12
_BATCH = 4096


class _MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _BatchOptions(ctypes.Structure):
    _fields_ = (("sz", ctypes.c_size_t), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class _CreateOptions(ctypes.Structure):
    """The head of struct bpf_map_create_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("btf", ctypes.c_uint32 * 4),
        ("inner_map_fd", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
    )


def wait_for_programs() -> None:
    """Come back when every program that runs now has ended: none works with what it read before.

    Some ten ms. The kernel does it for whoever changes a map of maps (its maybe_wait_bpf_programs).

    Raises:
        OSError: the kernel refused.
    """
    with closing(Descriptor(_create(_ARRAY))) as inner:
        options = _CreateOptions(sz=ctypes.sizeof(_CreateOptions), inner_map_fd=inner.fd)
        with closing(Descriptor(_create(_ARRAY_OF_MAPS, options))) as outer:
            value = inner.fd.to_bytes(4, sys.byteorder)
            check(library().call.bpf_map_update_elem(outer.fd, bytes(4), value, 0), "wait for programs")


def _create(kind: int, options: _CreateOptions | None = None) -> int:
    """A map of one entry, of four octets."""
    given = ctypes.byref(options) if options else None
    return check(library().call.bpf_map_create(kind, b"wait", 4, 4, 1, given), "create a map")


class Map(Descriptor):
    """A map of the kernel's: keys and values are bytes.

    Attributes:
        name: as in C, cut by the kernel to 15 characters when opened from a pin.
        max_entries: how many keys fit.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = _MapInfo()
        self.fill_info(info)
        self.name: str = info.name.decode()
        self.max_entries: int = info.max_entries
        self._key_size: int = info.key_size
        self._is_array = info.type in ARRAY_TYPES
        self._value_size: int = info.value_size
        if info.type in PERCPU_TYPES:
            self._value_size = possible_cpus() * ((info.value_size + 7) // 8 * 8)

    @classmethod
    def pinned(cls, path: Path) -> Map:
        """Open a pinned map.

        Raises:
            OSError: there is none, or it may not be opened.
        """
        return cls(check(library().call.bpf_obj_get(str(path).encode()), str(path)))

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; of a per-CPU map the values of all CPUs, one after the other."""
        value = ctypes.create_string_buffer(self._value_size)
        result = library().call.bpf_map_lookup_elem(self.fd, key, value)
        if result < 0 and ctypes.get_errno() == errno.ENOENT:
            return None
        check(result, f"read of {self.name}")
        return value.raw

    def items(self) -> dict[bytes, bytes]:
        """The whole map. What changes meanwhile may be missed."""
        if self._is_array:
            keys = (number.to_bytes(4, "little") for number in range(self.max_entries))
            return {key: value for key in keys if (value := self.get(key)) is not None}
        return dict(self._batches())

    def _batches(self) -> Iterator[tuple[bytes, bytes]]:
        call = library().call.bpf_map_lookup_batch
        options = _BatchOptions(sz=ctypes.sizeof(_BatchOptions))
        keys = ctypes.create_string_buffer(self._key_size * _BATCH)
        values = ctypes.create_string_buffer(self._value_size * _BATCH)
        # The kernel's bookmark: a bucket's number, or a key.
        bookmark = ctypes.create_string_buffer(max(self._key_size, 4))
        start = None
        while True:
            count = ctypes.c_uint32(_BATCH)
            result = call(self.fd, start, bookmark, keys, values, ctypes.byref(count), ctypes.byref(options))
            ended = result < 0 and ctypes.get_errno() == errno.ENOENT
            if not ended:
                check(result, f"read of {self.name}")
            all_keys, all_values = keys.raw, values.raw
            for at in range(count.value):
                yield (
                    all_keys[at * self._key_size : (at + 1) * self._key_size],
                    all_values[at * self._value_size : (at + 1) * self._value_size],
                )
            if ended:
                return
            start = bookmark

    def update(self, entries: Mapping[bytes, bytes]) -> None:
        """Set keys to values, each atomically.

        Raises:
            OSError: the map is full, or no memory is left; what came before is set.
        """
        items = list(entries.items())
        if self._is_array or len(items) < 8:
            for key, value in items:
                check(library().call.bpf_map_update_elem(self.fd, key, value, 0), f"write to {self.name}")
            return
        options = _BatchOptions(sz=ctypes.sizeof(_BatchOptions))
        for start in range(0, len(items), _BATCH):
            chunk = items[start : start + _BATCH]
            count = ctypes.c_uint32(len(chunk))
            result = library().call.bpf_map_update_batch(
                self.fd,
                b"".join(key for key, _ in chunk),
                b"".join(value for _, value in chunk),
                ctypes.byref(count),
                ctypes.byref(options),
            )
            check(result, f"write to {self.name}")
            if count.value != len(chunk):
                raise OSError(errno.E2BIG, f"{self.name} took {count.value} of {len(chunk)} entries")

    def delete(self, keys: Iterable[bytes]) -> None:
        """Remove keys; one that is not there is no error."""
        for key in keys:
            result = library().call.bpf_map_delete_elem(self.fd, key)
            if result < 0 and ctypes.get_errno() != errno.ENOENT:
                check(result, f"delete from {self.name}")


@contextmanager
def opened(path: Path) -> Iterator[Map]:
    """A map of the switch that runs on this node, for as long as the context lasts.

    Raises:
        DatapathError: there is no switch.
    """
    try:
        pinned = Map.pinned(path)
    except OSError as error:
        raise DatapathError(
            Problem(
                "HNV-DATAPATH-014",
                f"there is no switch here: {error}",
                hint="is this a host or a gateway, and has its agent ever run?",
            )
        ) from error
    try:
        yield pinned
    finally:
        pinned.close()

"""The part of libbpf that the switch needs, typed, through ctypes.

One process per map update costs 10 ms, a call from here 4 µs, and an entry in a batch half a µs.
"""

from __future__ import annotations

import collections
import ctypes
import errno
import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lab.datapath.errors import DatapathError, NoDatapathError
from lab.errors import Problem

log = logging.getLogger(__name__)

BPF_TCX_INGRESS = 46
"""enum bpf_attach_type; Linux 6.6. libbpf 1.1 does not know it and passes it on."""
PERCPU_TYPES = frozenset({5, 6, 10})
"""BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH."""
ARRAY_TYPES = frozenset({2, 6})
_BATCH = 4096
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_SIGNATURES: tuple[tuple[str, type | None, tuple[type, ...]], ...] = (
    ("libbpf_set_print", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("libbpf_num_possible_cpus", ctypes.c_int, ()),
    ("bpf_object__open_file", ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_void_p)),
    ("bpf_object__load", ctypes.c_int, (ctypes.c_void_p,)),
    ("bpf_object__close", None, (ctypes.c_void_p,)),
    ("bpf_object__find_program_by_name", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)),
    ("bpf_object__next_map", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p)),
    ("bpf_program__fd", ctypes.c_int, (ctypes.c_void_p,)),
    ("bpf_map__name", ctypes.c_char_p, (ctypes.c_void_p,)),
    ("bpf_map__set_pin_path", ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p)),
    ("bpf_obj_get", ctypes.c_int, (ctypes.c_char_p,)),
    ("bpf_obj_pin", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p)),
    ("bpf_obj_get_info_by_fd", ctypes.c_int, (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    ("bpf_map_update_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64)),
    ("bpf_map_lookup_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)),
    ("bpf_map_delete_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p)),
    ("bpf_map_get_next_key", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)),
    (
        "bpf_map_update_batch",
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p),
    ),
    ("bpf_prog_test_run_opts", ctypes.c_int, (ctypes.c_int, ctypes.c_void_p)),
    ("bpf_link_create", ctypes.c_int, (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)),
    ("bpf_link_update", ctypes.c_int, (ctypes.c_int, ctypes.c_int, ctypes.c_void_p)),
)


class _Libbpf:
    """The library, and what it last complained about."""

    def __init__(self) -> None:
        self.complaints: collections.deque[str] = collections.deque(maxlen=60)
        self.call = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name, result, arguments in _SIGNATURES:
            function = getattr(self.call, name)
            function.restype = result
            function.argtypes = arguments
        self._vsnprintf = ctypes.CDLL(None).vsnprintf
        self._vsnprintf.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)
        self._print = _PRINT(self._take_line)
        self.call.libbpf_set_print(self._print)

    def _take_line(self, level: int, pattern: bytes, arguments: int) -> int:
        """libbpf's own log: to ours, never to stderr; the verifier's words explain a refused load."""
        text = ctypes.create_string_buffer(4096)
        self._vsnprintf(text, len(text), pattern, arguments)
        line = text.value.decode(errors="replace").rstrip()
        log.debug("%s", line)
        if level == 0:
            self.complaints.append(line)
        return 0


@functools.cache
def _library() -> _Libbpf:
    try:
        return _Libbpf()
    except OSError as error:
        raise NoDatapathError(
            Problem("HNV-DATAPATH-003", f"libbpf cannot be loaded: {error}", hint="apt-get install libbpf1")
        ) from error


def possible_cpus() -> int:
    """How many values a per-CPU map holds for each key."""
    return int(_library().call.libbpf_num_possible_cpus())


def _check(result: int, what: str) -> int:
    """A result of libbpf: negative is an errno.

    Raises:
        OSError: the call failed; `what` is said in front of the kernel's reason.
    """
    if result < 0:
        number = -result if result != -1 else ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


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


class _TcxLinkInfo(ctypes.Structure):
    """The head of struct bpf_link_info for a TCX link."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
    )


class _BatchOptions(ctypes.Structure):
    _fields_ = (("sz", ctypes.c_size_t), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class _TestRunOptions(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class SkBuff(ctypes.Structure):
    """The head of struct __sk_buff: what a test run takes and gives back."""

    _fields_ = (
        ("len", ctypes.c_uint32),
        ("pkt_type", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("queue_mapping", ctypes.c_uint32),
        ("protocol", ctypes.c_uint32),
        ("vlan_present", ctypes.c_uint32),
        ("vlan_tci", ctypes.c_uint32),
        ("vlan_proto", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
        ("ingress_ifindex", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("tc_index", ctypes.c_uint32),
        ("cb", ctypes.c_uint32 * 5),
        ("rest", ctypes.c_uint8 * 124),
    )


class Descriptor:
    """Owns a file descriptor of the kernel's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Give the descriptor back; what is pinned or attached lives on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _info(self, info: ctypes.Structure) -> None:
        size = ctypes.c_uint32(ctypes.sizeof(info))
        call = _library().call.bpf_obj_get_info_by_fd
        _check(call(self.fd, ctypes.byref(info), ctypes.byref(size)), "bpf_obj_get_info_by_fd")


class Map(Descriptor):
    """A map of the kernel's: keys and values are bytes.

    Attributes:
        name: as in C, cut by the kernel to 15 characters when opened from a pin.
        max_entries: how many keys fit.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = _MapInfo()
        self._info(info)
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
        return cls(_check(_library().call.bpf_obj_get(str(path).encode()), str(path)))

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; of a per-CPU map the values of all CPUs, one after the other."""
        value = ctypes.create_string_buffer(self._value_size)
        result = _library().call.bpf_map_lookup_elem(self.fd, key, value)
        if result < 0 and ctypes.get_errno() == errno.ENOENT:
            return None
        _check(result, f"read of {self.name}")
        return value.raw

    def keys(self) -> Iterator[bytes]:
        """All keys, in no order. What changes meanwhile may be missed or met twice."""
        call = _library().call.bpf_map_get_next_key
        key: bytes | None = None
        following = ctypes.create_string_buffer(self._key_size)
        while call(self.fd, key, following) == 0:
            key = following.raw
            yield key

    def items(self) -> dict[bytes, bytes]:
        """The whole map."""
        return {key: value for key in self.keys() if (value := self.get(key)) is not None}

    def update(self, entries: Mapping[bytes, bytes]) -> None:
        """Set keys to values, each atomically.

        Raises:
            OSError: the map is full, or no memory is left; what came before is set.
        """
        items = list(entries.items())
        if self._is_array or len(items) < 8:
            for key, value in items:
                _check(_library().call.bpf_map_update_elem(self.fd, key, value, 0), f"write to {self.name}")
            return
        options = _BatchOptions(sz=ctypes.sizeof(_BatchOptions))
        for start in range(0, len(items), _BATCH):
            chunk = items[start : start + _BATCH]
            count = ctypes.c_uint32(len(chunk))
            result = _library().call.bpf_map_update_batch(
                self.fd,
                b"".join(key for key, _ in chunk),
                b"".join(value for _, value in chunk),
                ctypes.byref(count),
                ctypes.byref(options),
            )
            _check(result, f"write to {self.name}")
            if count.value != len(chunk):
                raise OSError(errno.E2BIG, f"{self.name} took {count.value} of {len(chunk)} entries")

    def delete(self, keys: Iterable[bytes]) -> None:
        """Remove keys; one that is not there is no error."""
        for key in keys:
            result = _library().call.bpf_map_delete_elem(self.fd, key)
            if result < 0 and ctypes.get_errno() != errno.ENOENT:
                _check(result, f"delete from {self.name}")


class TcxLink(Descriptor):
    """A program attached at a device's TCX ingress hook; pinned, it outlives this process."""

    @classmethod
    def attach(cls, program: Program, ifindex: int) -> TcxLink:
        """Attach to a device of this thread's network namespace.

        Raises:
            OSError: EINVAL where the kernel has no TCX (before 6.6).
        """
        call = _library().call.bpf_link_create
        return cls(_check(call(program.fd, ifindex, BPF_TCX_INGRESS, None), f"attach to interface {ifindex}"))

    @classmethod
    def pinned(cls, path: Path) -> TcxLink:
        """Open a pinned link.

        Raises:
            OSError: there is none.
        """
        return cls(_check(_library().call.bpf_obj_get(str(path).encode()), str(path)))

    @property
    def ifindex(self) -> int:
        """The device; 0 when it is gone and the link attached to nothing."""
        info = _TcxLinkInfo()
        self._info(info)
        return int(info.ifindex)

    def update(self, program: Program) -> None:
        """Put another program in the place of the attached one, atomically: no packet meets neither."""
        _check(_library().call.bpf_link_update(self.fd, program.fd, None), "replace the program of a link")

    def pin(self, path: Path) -> None:
        """Keep the link when the last descriptor is closed."""
        _check(_library().call.bpf_obj_pin(self.fd, str(path).encode()), str(path))


class TestRun:
    """What became of a frame that a program was run with.

    Attributes:
        verdict: TC_ACT_ number.
        frame: the frame afterwards.
        context: the metadata afterwards.
        duration_ns: mean time of one run.
    """

    def __init__(self, verdict: int, frame: bytes, context: SkBuff, duration_ns: int) -> None:
        self.verdict = verdict
        self.frame = frame
        self.context = context
        self.duration_ns = duration_ns


class Program:
    """A loaded program; belongs to its object and is closed with it."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name

    def test_run(self, frame: bytes, context: SkBuff, repeat: int = 1) -> TestRun:
        """Run the program with a frame; nothing leaves the machine (BPF_PROG_TEST_RUN).

        Args:
            frame: from the Ethernet header on, at least 14 bytes.
            context: `ifindex` is looked up in this thread's network namespace.
            repeat: runs to time; each meets what the one before left.

        Raises:
            OSError: the kernel refused frame or context.
        """
        given = ctypes.create_string_buffer(frame, len(frame))
        returned = ctypes.create_string_buffer(len(frame) + 512)
        after = SkBuff()
        options = _TestRunOptions(
            sz=ctypes.sizeof(_TestRunOptions),
            data_in=ctypes.addressof(given),
            data_out=ctypes.addressof(returned),
            data_size_in=len(frame),
            data_size_out=len(returned),
            ctx_in=ctypes.addressof(context),
            ctx_out=ctypes.addressof(after),
            ctx_size_in=ctypes.sizeof(context),
            ctx_size_out=ctypes.sizeof(after),
            repeat=repeat,
        )
        _check(_library().call.bpf_prog_test_run_opts(self.fd, ctypes.byref(options)), f"run of {self.name}")
        return TestRun(options.retval, returned.raw[: options.data_size_out], after, options.duration)


class Object:
    """A compiled object, its maps pinned (or taken over from their pins) and its programs loaded."""

    def __init__(self, path: Path, map_pins: Path) -> None:
        """Load an object file.

        Args:
            path: what `lab.datapath.build` wrote.
            map_pins: directory on bpffs; maps already pinned there are used as they are, with their content.

        Raises:
            NoDatapathError: the kernel does not take it.
        """
        call = _library().call
        self.path = path
        _library().complaints.clear()
        self._handle: int | None = call.bpf_object__open_file(str(path).encode(), None)
        if not self._handle:
            raise self._unusable("cannot be read")
        try:
            handle = call.bpf_object__next_map(self._handle, None)
            while handle:
                pin = map_pins / call.bpf_map__name(handle).decode()
                _check(call.bpf_map__set_pin_path(handle, str(pin).encode()), str(pin))
                handle = call.bpf_object__next_map(self._handle, handle)
            if call.bpf_object__load(self._handle) < 0:
                raise self._unusable(f"cannot be loaded: {os.strerror(ctypes.get_errno())}")
        except BaseException:
            self.close()
            raise

    def _unusable(self, why: str) -> NoDatapathError:
        return NoDatapathError(
            Problem(
                "HNV-DATAPATH-004",
                "\n".join([f"the data plane {why}", *_library().complaints]),
                place=str(self.path),
                hint="python -m lab.datapath.build makes it; loading it needs CAP_BPF and CAP_NET_ADMIN",
            )
        )

    def program(self, name: str) -> Program:
        """A program by its name in C."""
        handle = _library().call.bpf_object__find_program_by_name(self._handle, name.encode())
        if not handle:
            raise DatapathError(Problem("HNV-DATAPATH-005", f"{self.path} holds no program {name}"))
        return Program(_library().call.bpf_program__fd(handle), name)

    def close(self) -> None:
        """Let go of programs and maps; what is pinned or attached lives on."""
        if self._handle:
            _library().call.bpf_object__close(self._handle)
            self._handle = None


def ensure_bpffs(mount_point: Path) -> None:
    """Mount a BPF file system where there is none yet; a container has none of its own.

    Raises:
        NoDatapathError: it cannot be mounted.
    """
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if where == str(mount_point) and kind == "bpf":
            return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", str(mount_point).encode(), b"bpf", 0, None) < 0:
        raise NoDatapathError(
            Problem(
                "HNV-DATAPATH-006",
                f"the BPF file system cannot be mounted: {os.strerror(ctypes.get_errno())}",
                place=str(mount_point),
                hint="the node needs CAP_SYS_ADMIN and a kernel with CONFIG_BPF_SYSCALL",
            )
        )

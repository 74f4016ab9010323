"""The part of libbpf that the switch needs, typed, through ctypes.

One process per map update costs 10 ms, a call from here 4 µs.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import logging
import os
from pathlib import Path

from lab.datapath.errors import NoDatapathError
from lab.errors import Problem

log = logging.getLogger(__name__)

_LONGEST_MESSAGE = 1 << 20
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
    (
        "bpf_map_create",
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_char_p, *(ctypes.c_uint32,) * 3, ctypes.c_void_p),
    ),
    ("bpf_map_update_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64)),
    ("bpf_map_lookup_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)),
    ("bpf_map_delete_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p)),
    ("bpf_map_lookup_batch", ctypes.c_int, (ctypes.c_int, *(ctypes.c_void_p,) * 6)),
    (
        "bpf_map_update_batch",
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p),
    ),
    ("bpf_prog_test_run_opts", ctypes.c_int, (ctypes.c_int, ctypes.c_void_p)),
    ("bpf_link_create", ctypes.c_int, (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)),
    ("bpf_link_detach", ctypes.c_int, (ctypes.c_int,)),
    ("bpf_link_update", ctypes.c_int, (ctypes.c_int, ctypes.c_int, ctypes.c_void_p)),
    ("ring_buffer__new", ctypes.c_void_p, (ctypes.c_int, *(ctypes.c_void_p,) * 3)),
    ("ring_buffer__add", ctypes.c_int, (ctypes.c_void_p, ctypes.c_int, *(ctypes.c_void_p,) * 2)),
    ("ring_buffer__consume", ctypes.c_int, (ctypes.c_void_p,)),
    ("ring_buffer__epoll_fd", ctypes.c_int, (ctypes.c_void_p,)),
    ("ring_buffer__free", None, (ctypes.c_void_p,)),
)


class _Libbpf:
    """The library, and what it last complained about."""

    def __init__(self) -> None:
        self.complaints: collections.deque[str] = collections.deque(maxlen=20)
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
        text = ctypes.create_string_buffer(_LONGEST_MESSAGE)
        self._vsnprintf(text, len(text), pattern, arguments)
        lines = text.value.decode(errors="replace").rstrip().splitlines()
        log.debug("%s", "\n".join(lines))
        if level == 0:
            # The verifier's last words say what it refused.
            self.complaints.extend(lines)
        return 0


@functools.cache
def library() -> _Libbpf:
    """libbpf, loaded once: a process has only one.

    Raises:
        NoDatapathError: it is not there.
    """
    try:
        return _Libbpf()
    except OSError as error:
        raise NoDatapathError(
            Problem("HNV-DATAPATH-003", f"libbpf cannot be loaded: {error}", hint="apt-get install libbpf1")
        ) from error


def possible_cpus() -> int:
    """How many values a per-CPU map holds for each key."""
    return int(library().call.libbpf_num_possible_cpus())


def check(result: int, what: str) -> int:
    """The result of a call, if it is no error: negative ones are.

    Raises:
        OSError: the call failed; `what` is said in front of the kernel's reason.
    """
    if result < 0:
        number = -result if result != -1 else ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


class Descriptor:
    """Owns a file descriptor of the kernel's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Give the descriptor back; what is pinned or attached lives on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def fill_info(self, info: ctypes.Structure) -> None:
        """Let the kernel fill its bpf_*_info structure for this object."""
        size = ctypes.c_uint32(ctypes.sizeof(info))
        call = library().call.bpf_obj_get_info_by_fd
        check(call(self.fd, ctypes.byref(info), ctypes.byref(size)), "bpf_obj_get_info_by_fd")


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

"""Objects, their programs, test runs, and TCX links."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from lab.datapath.errors import DatapathError, NoDatapathError
from lab.datapath.libbpf import Descriptor, check, library
from lab.errors import Problem

BPF_TCX_INGRESS = 46
BPF_TCX_EGRESS = 47
"""enum bpf_attach_type; Linux 6.6. libbpf 1.1 does not know them and passes them on."""


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


class TcxLink(Descriptor):
    """A program attached at a device's TCX hook; pinned, it outlives this process."""

    @classmethod
    def attach(cls, program: Program, ifindex: int, kind: int = BPF_TCX_INGRESS) -> TcxLink:
        """Attach to a device of this thread's network namespace.

        Args:
            program: what is to run.
            ifindex: the device.
            kind: BPF_TCX_INGRESS or BPF_TCX_EGRESS.

        Raises:
            OSError: EINVAL where the kernel has no TCX (before 6.6).
        """
        call = library().call.bpf_link_create
        return cls(check(call(program.fd, ifindex, kind, None), f"attach to interface {ifindex}"))

    @classmethod
    def pinned(cls, path: Path) -> TcxLink:
        """Open a pinned link.

        Raises:
            OSError: there is none.
        """
        return cls(check(library().call.bpf_obj_get(str(path).encode()), str(path)))

    @property
    def ifindex(self) -> int:
        """The device; 0 when it is gone and the link attached to nothing."""
        info = _TcxLinkInfo()
        self.fill_info(info)
        return int(info.ifindex)

    def update(self, program: Program) -> None:
        """Put another program in the place of the attached one, atomically: no packet meets neither."""
        check(library().call.bpf_link_update(self.fd, program.fd, None), "replace the program of a link")

    def detach(self) -> None:
        """Take the program off the device; no error when the device is gone."""
        check(library().call.bpf_link_detach(self.fd), "detach a link")

    def pin(self, path: Path) -> None:
        """Keep the link when the last descriptor is closed."""
        check(library().call.bpf_obj_pin(self.fd, str(path).encode()), str(path))


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
        check(library().call.bpf_prog_test_run_opts(self.fd, ctypes.byref(options)), f"run of {self.name}")
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
        call = library().call
        self.path = path
        library().complaints.clear()
        self._handle: int | None = call.bpf_object__open_file(str(path).encode(), None)
        if not self._handle:
            raise self._unusable("cannot be read")
        try:
            handle = call.bpf_object__next_map(self._handle, None)
            while handle:
                name = call.bpf_map__name(handle).decode()
                # Constants and scratch memory belong to one object and are never shared.
                if name.startswith("hnv_"):
                    pin = map_pins / name
                    check(call.bpf_map__set_pin_path(handle, str(pin).encode()), str(pin))
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
                "\n".join([f"the data plane {why}", *library().complaints]),
                place=str(self.path),
                hint="python -m lab.datapath.build makes it; loading it needs CAP_BPF and CAP_NET_ADMIN",
            )
        )

    def program(self, name: str) -> Program:
        """A program by its name in C."""
        handle = library().call.bpf_object__find_program_by_name(self._handle, name.encode())
        if not handle:
            raise DatapathError(Problem("HNV-DATAPATH-005", f"{self.path} holds no program {name}"))
        return Program(library().call.bpf_program__fd(handle), name)

    def close(self) -> None:
        """Let go of programs and maps; what is pinned or attached lives on."""
        if self._handle:
            library().call.bpf_object__close(self._handle)
            self._handle = None

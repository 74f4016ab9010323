"""Programs on interfaces: TCX links where the kernel has them (6.6), clsact and cls_bpf where not.

A TCX link is pinned and changed over atomically. A filter of cls_bpf holds its program itself and is replaced
in place. Both outlive the agent.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.datapath.errors import DatapathError
from lab.datapath.programs import BPF_TCX_EGRESS, BPF_TCX_INGRESS, Program, TcxLink
from lab.errors import Problem

log = logging.getLogger(__name__)

_LOOPBACK = 1
_FILTER = {"prio": 1, "handle": 1}
_GONE = {errno.ENODEV, errno.ENXIO}
_NO_QDISC = {errno.ENOENT, errno.EINVAL}


class Side(Enum):
    """What a program sees of an interface: what comes in, or what goes out.

    Attributes:
        tcx: enum bpf_attach_type.
        clsact: parent of the filter (TC_H_CLSACT with TC_H_MIN_INGRESS or TC_H_MIN_EGRESS).
    """

    INGRESS = (BPF_TCX_INGRESS, 0xFFFFFFF2)
    EGRESS = (BPF_TCX_EGRESS, 0xFFFFFFF3)

    def __init__(self, tcx: int, clsact: int) -> None:
        self.tcx = tcx
        self.clsact = clsact


class Hook(Protocol):
    """A way to run a program on what comes in at an interface, or goes out there."""

    def install(self, ifindex: int, program: Program) -> None:
        """Attach, or replace what is attached.

        Raises:
            OSError: the interface is gone, or the kernel refused.
        """

    def remove(self, ifindex: int) -> None:
        """Detach; no error when the interface is gone."""

    def attached(self) -> set[int]:
        """Interfaces that carry a program of ours."""

    def close(self) -> None:
        """Let go of what this process holds."""


class TcxHook:
    """TCX links, pinned as PINS/IFINDEX: a directory for each side."""

    def __init__(self, pins: Path, side: Side = Side.INGRESS) -> None:
        self._pins = pins
        self._side = side

    def install(self, ifindex: int, program: Program) -> None:
        """See `Hook.install`."""
        pin = self._pins / str(ifindex)
        if pin.exists():
            link = TcxLink.pinned(pin)
            try:
                if link.ifindex == ifindex:
                    link.update(program)
                    return
            finally:
                link.close()
            # An older interface of this index is gone, and its link attached to nothing.
            pin.unlink()
        link = TcxLink.attach(program, ifindex, self._side.tcx)
        try:
            link.pin(pin)
        finally:
            link.close()

    def remove(self, ifindex: int) -> None:
        """See `Hook.remove`."""
        pin = self._pins / str(ifindex)
        if not pin.exists():
            return
        # Without its pin the link goes some time later, and a program that comes back meanwhile is refused.
        link = TcxLink.pinned(pin)
        try:
            link.detach()
        finally:
            link.close()
        pin.unlink()

    def attached(self) -> set[int]:
        """See `Hook.attached`; an index whose interface is gone is still among them."""
        return {int(pin.name) for pin in self._pins.iterdir()}

    def close(self) -> None:
        """Nothing is held: links live by their pins."""


class ClsactHook:
    """A clsact queueing discipline with one cls_bpf filter in direct-action mode.

    What is removed from one side of an interface goes from the other with it: they share the discipline.
    """

    def __init__(self, side: Side = Side.INGRESS) -> None:
        self._side = side
        self._netlink = IPRoute()
        self._ours: set[int] = set()

    def install(self, ifindex: int, program: Program) -> None:
        """See `Hook.install`."""
        try:
            try:
                self._netlink.tc("add", "clsact", ifindex)
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise
            self._netlink.tc(
                "replace-filter",
                "bpf",
                ifindex,
                fd=program.fd,
                name=program.name,
                parent=self._side.clsact,
                direct_action=True,
                **_FILTER,
            )
        except NetlinkError as error:
            raise OSError(error.code, f"attach to interface {ifindex}: {error}") from error
        self._ours.add(ifindex)

    def remove(self, ifindex: int) -> None:
        """See `Hook.remove`."""
        self._ours.discard(ifindex)
        try:
            self._netlink.tc("del", "clsact", ifindex)
        except NetlinkError as error:
            if error.code not in _GONE | _NO_QDISC:
                raise

    def attached(self) -> set[int]:
        """See `Hook.attached`."""
        return set(self._ours)

    def close(self) -> None:
        """Close the netlink socket."""
        self._netlink.close()


class Attachments:
    """The set of interfaces that programs run on, at one side."""

    def __init__(self, pins: Path, hook: Hook | None, side: Side = Side.INGRESS) -> None:
        self._hook: Hook = hook or TcxHook(pins, side)
        self._current: dict[int, Program] = {}

    def replace(self, wanted: Mapping[int, Program]) -> None:
        """Attach what is wanted, detach the rest; an interface that vanishes meanwhile is passed over.

        Raises:
            DatapathError: the kernel refused.
        """
        for ifindex in (self._hook.attached() | self._current.keys()) - wanted.keys():
            self._hook.remove(ifindex)
            self._current.pop(ifindex, None)
        for ifindex, program in wanted.items():
            if self._current.get(ifindex) is program:
                continue
            try:
                self._hook.install(ifindex, program)
            except OSError as error:
                if error.errno in _GONE:
                    log.info("interface %d is gone: %s", ifindex, error)
                    continue
                raise DatapathError(
                    Problem("HNV-DATAPATH-012", f"{program.name} cannot be attached: {error}")
                ) from error
            self._current[ifindex] = program

    def close(self) -> None:
        """Let go; programs stay attached."""
        self._hook.close()


def detect_hook(probe: Program, side: Side = Side.INGRESS) -> Hook | None:
    """None where the kernel has TCX (Linux 6.6 and later), else the way round it.

    Args:
        probe: a program that lets pass what is not its own; attached to the loopback for an instant.
        side: of what the way round is to run on.
    """
    try:
        TcxLink.attach(probe, _LOOPBACK).close()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        log.info("this kernel has no TCX links; using cls_bpf")
        return ClsactHook(side)
    return None

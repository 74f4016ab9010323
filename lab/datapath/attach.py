"""Programs on interfaces: TCX links where the kernel has them (6.6), clsact and cls_bpf where not.

A TCX link is pinned and changed over atomically. A filter of cls_bpf holds its program itself and is replaced
in place. Both outlive the agent.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.datapath.errors import DatapathError
from lab.datapath.programs import Program, TcxLink
from lab.errors import Problem

log = logging.getLogger(__name__)

_LOOPBACK = 1
_INGRESS_PARENT = 0xFFFFFFF2
"""clsact's ingress side (TC_H_CLSACT, TC_H_MIN_INGRESS)."""
_FILTER = {"prio": 1, "handle": 1}
_GONE = {errno.ENODEV, errno.ENXIO}
_NO_QDISC = {errno.ENOENT, errno.EINVAL}


class Hook(Protocol):
    """A way to run a program on what comes in at an interface."""

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
    """TCX links, pinned as PINS/IFINDEX."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins

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
        link = TcxLink.attach(program, ifindex)
        try:
            link.pin(pin)
        finally:
            link.close()

    def remove(self, ifindex: int) -> None:
        """See `Hook.remove`."""
        (self._pins / str(ifindex)).unlink(missing_ok=True)

    def attached(self) -> set[int]:
        """See `Hook.attached`; an index whose interface is gone is still among them."""
        return {int(pin.name) for pin in self._pins.iterdir()}

    def close(self) -> None:
        """Nothing is held: links live by their pins."""


class ClsactHook:
    """A clsact queueing discipline with one cls_bpf filter in direct-action mode."""

    def __init__(self) -> None:
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
                parent=_INGRESS_PARENT,
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
    """The set of interfaces that a switch's programs run on."""

    def __init__(self, pins: Path, hook: Hook | None) -> None:
        self._hook: Hook = hook or TcxHook(pins)
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


def detect_hook(probe: Program) -> Hook | None:
    """None where the kernel has TCX (Linux 6.6 and later), else the way round it.

    Args:
        probe: a program that lets pass what is not its own; attached to the loopback for an instant.
    """
    try:
        TcxLink.attach(probe, _LOOPBACK).close()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        log.info("this kernel has no TCX links; using cls_bpf")
        return ClsactHook()
    return None

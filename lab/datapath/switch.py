"""The switch of one node: programs, pinned maps and attachments in the kernel, filled from a policy.

The kernel is the truth. Everything is pinned, so that an agent that dies disturbs nothing; opening the switch
again takes over what stands, and `apply` writes only what differs.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType

from lab.datapath.attach import Attachments, detect_hook
from lab.datapath.build import OBJECT
from lab.datapath.errors import DatapathError, InvalidPolicyError
from lab.datapath.image import (
    DOMAINS,
    MAKE_ORDER,
    METRICS,
    Image,
    Step,
    domain_numbers,
    image_of,
    steps_between,
)
from lab.datapath.libbpf import ensure_bpffs
from lab.datapath.maps import Map
from lab.datapath.pins import BPFFS, PINS, link_pins, map_pins
from lab.datapath.policy import Policy, validate
from lab.datapath.programs import Object, Program
from lab.errors import Problem

log = logging.getLogger(__name__)


class Switch:
    """The WNV filter of the network namespace that the thread which opens it is in.

    Args:
        pins: directory on bpffs of this switch's maps and links; one for each node.
        object_file: what `lab.datapath.build` wrote. If it differs from what runs, every attachment is
            changed over to it atomically, and the maps stay.

    Raises:
        NoDatapathError: the kernel cannot run it.
    """

    def __init__(self, pins: Path = PINS, object_file: Path = OBJECT) -> None:
        ensure_bpffs(BPFFS)
        maps, links = map_pins(pins), link_pins(pins)
        maps.mkdir(parents=True, exist_ok=True)
        links.mkdir(parents=True, exist_ok=True)
        self._object = Object(object_file, maps)
        self._maps = {name: Map.pinned(maps / name) for name in MAKE_ORDER}
        self.metrics = Map.pinned(maps / METRICS)
        self.vport: Program = self._object.program("vport")
        self.uplink: Program = self._object.program("uplink")
        self._attachments = Attachments(links, detect_hook(self.uplink))

    def __enter__(self) -> Switch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the kernel's objects; forwarding goes on."""
        self._attachments.close()
        self.metrics.close()
        for item in self._maps.values():
            item.close()
        self._object.close()

    def attach(self, vports: set[int], uplinks: set[int]) -> None:
        """Put the programs on interfaces; those that run there already are replaced without a gap.

        Args:
            vports: ifindexes that carry `vport`; one without policy drops everything.
            uplinks: ifindexes that carry `uplink`.

        Raises:
            DatapathError: the kernel refused.
        """
        wanted = dict.fromkeys(vports, self.vport) | dict.fromkeys(uplinks, self.uplink)
        self._attachments.replace(wanted)

    def apply(self, policy: Policy) -> list[Step]:
        """Make the maps be as a policy says, by the smallest difference, make before break.

        Returns:
            What was done; empty when nothing differed.

        Raises:
            InvalidPolicyError: the policy is refused; nothing has been changed.
            DatapathError: the kernel refused an entry; what had been changed is back as it was.
        """
        validate(policy)
        current = self._read()
        rdids = {subnet.rdid for subnet in policy.subnets}
        rdids |= {route.rdid for route in policy.routes} | {member.rdid for member in policy.members}
        wanted = image_of(policy, domain_numbers(current[DOMAINS], rdids))
        self._check_room(current, wanted)
        steps = steps_between(current, wanted)
        try:
            self._write(steps)
        except OSError as error:
            self._write(steps_between(self._read(), current))
            raise DatapathError(
                Problem("HNV-DATAPATH-010", f"the kernel refused the policy: {error}")
            ) from error
        for step in steps:
            log.info("%s: %d set, %d removed", step.map_name, len(step.upserts), len(step.removes))
        return steps

    def _read(self) -> Image:
        return {name: item.items() for name, item in self._maps.items()}

    def _check_room(self, current: Image, wanted: Image) -> None:
        """Old and new entries stand side by side for a moment, and both must fit."""
        full = [
            Problem(
                "HNV-DATAPATH-011",
                f"{name} would need {needed} entries",
                expected=f"at most {self._maps[name].max_entries}",
            )
            for name in MAKE_ORDER
            if (needed := len(current[name].keys() | wanted[name].keys())) > self._maps[name].max_entries
        ]
        if full:
            raise InvalidPolicyError(full)

    def _write(self, steps: list[Step]) -> None:
        for step in steps:
            target = self._maps[step.map_name]
            target.update(step.upserts)
            target.delete(step.removes)

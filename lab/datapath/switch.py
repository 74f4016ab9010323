"""The switch of one node: programs, pinned maps and attachments in the kernel, filled from a policy.

The kernel is the truth. Everything is pinned, so that an agent that dies disturbs nothing; opening the switch
again takes over what stands, and `apply` writes only what differs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType

from lab.datapath.abi import SettingsFlag, VPort
from lab.datapath.attach import Attachments, detect_hook
from lab.datapath.build import OBJECT
from lab.datapath.errors import DatapathError, InvalidPolicyError
from lab.datapath.flows import FLOWS, forget_flows
from lab.datapath.image import (
    ACL_RULES,
    MAKE_ORDER,
    METERS,
    METRICS,
    SETTINGS,
    VPORTS,
    Image,
    Step,
    overfull,
    steps_between,
)
from lab.datapath.ledger import Ledger, no_room
from lab.datapath.libbpf import ensure_bpffs
from lab.datapath.maps import Map, wait_for_programs
from lab.datapath.meters import forget_meters
from lab.datapath.pins import BPFFS, PINS, link_pins, map_pins, settings_locked
from lab.datapath.policy import Item, Node, Policy
from lab.datapath.programs import Object, Program
from lab.errors import Problem

log = logging.getLogger(__name__)


class Switch:
    """The WNV filter of the network namespace that the thread which opens it is in.

    Args:
        pins: directory on bpffs of this switch's maps and links; one for each node.
        object_file: what `lab.datapath.build` wrote. If it differs from what runs, every attachment is
            changed over to it atomically, and the maps stay.

    Attributes:
        maps: directory of the pinned maps.
        metrics: see `lab.datapath.metrics`.
        meters: see `lab.datapath.meters`.
        flows: see `lab.datapath.flows`.

    Raises:
        NoDatapathError: the kernel cannot run it.
    """

    def __init__(self, pins: Path = PINS, object_file: Path = OBJECT) -> None:
        ensure_bpffs(BPFFS)
        maps, links = map_pins(pins), link_pins(pins)
        maps.mkdir(parents=True, exist_ok=True)
        links.mkdir(parents=True, exist_ok=True)
        self.maps = maps
        self._object = Object(object_file, maps)
        self._maps = {name: Map.pinned(maps / name) for name in MAKE_ORDER}
        self.metrics = Map.pinned(maps / METRICS)
        self.meters = Map.pinned(maps / METERS)
        self.flows = Map.pinned(maps / FLOWS)
        self.vport: Program = self._object.program("vport")
        self.uplink: Program = self._object.program("uplink")
        self.shaped: Program = self._object.program("shaped")
        self._room = {name: item.max_entries for name, item in self._maps.items()}
        self._ledger = Ledger(self._read(), self._room)
        self._in_step = False
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
        for item in (self.metrics, self.meters, self.flows, *self._maps.values()):
            item.close()
        self._object.close()

    def attach(self, vports: set[int], uplinks: set[int], shaped: AbstractSet[int] = frozenset()) -> None:
        """Put the programs on interfaces; those that run there already are replaced without a gap.

        Args:
            vports: ifindexes that carry `vport`; one without policy drops everything.
            uplinks: ifindexes that carry `uplink`.
            shaped: ifindexes that carry `shaped`.

        Raises:
            DatapathError: the kernel refused.
        """
        wanted = dict.fromkeys(vports, self.vport) | dict.fromkeys(uplinks, self.uplink)
        self._attachments.replace(wanted | dict.fromkeys(shaped, self.shaped))

    def forget(self, gone: Collection[int]) -> None:
        """Forget the meters and connections of ports that are gone.

        Args:
            gone: their ifindexes.
        """
        if gone:
            forget_meters(self.meters, gone)
            forget_flows(self.flows, gone)

    def port_classes(self) -> dict[int, int]:
        """Handle of the HTB class that each port is sent to, by ifindex."""
        return {
            int.from_bytes(key, "little"): VPort.from_buffer_copy(value).qos_class
            for key, value in self._maps[VPORTS].items().items()
        }

    def apply(self, policy: Policy) -> list[Step]:
        """Make the switch follow a policy: `change` by what differs from the one before.

        Returns:
            What was done; empty when nothing differed.

        Raises:
            InvalidPolicyError: the policy is refused; nothing has been changed.
            DatapathError: the kernel refused an entry; what had been changed is back as it was.
        """
        removed, added = self._ledger.difference(policy.items)
        return self.change(removed, added, policy.node)

    def change(self, removed: Sequence[Item], added: Sequence[Item], node: Node | None = None) -> list[Step]:
        """Change the policy by some items, make before break.

        The first change after opening makes the kernel hold this policy and nothing else.

        Args:
            removed: items that are in the policy.
            added: items to put in; one that takes another's place needs that one in `removed`.
            node: None: as it was.

        Returns:
            What was done; empty when the kernel held it already.

        Raises:
            InvalidPolicyError: the policy would be none; nothing has been changed.
            DatapathError: the kernel refused an entry; what had been changed is back as it was.
        """
        node_before = self._ledger.node
        kernel_before = None if self._in_step else self._read()
        steps = self._ledger.change(removed, added, node)
        try:
            if kernel_before is not None:
                steps = steps_between(kernel_before, self._ledger.image)
                self._check_room(kernel_before, steps)
            self._write(steps)
        except (OSError, InvalidPolicyError) as error:
            self._ledger.change(added, removed, node_before)
            self._restore(kernel_before or self._ledger.image)
            self._in_step = kernel_before is None
            if isinstance(error, InvalidPolicyError):
                raise
            raise DatapathError(
                Problem("HNV-DATAPATH-010", f"the kernel refused the policy: {error}")
            ) from error
        self._in_step = True
        for step in steps:
            log.info("%s: %d set, %d removed", step.map_name, len(step.upserts), len(step.removes))
        return steps

    def _read(self) -> Image:
        image = {name: item.items() for name, item in self._maps.items()}
        image[SETTINGS] = {key: _traced(value, False) for key, value in image[SETTINGS].items()}
        return image

    def _restore(self, image: Image) -> None:
        """Whatever has been done, take the kernel back to what it held."""
        self._in_step = False
        try:
            self._write(steps_between(self._read(), image))
        except OSError as error:
            raise DatapathError(
                Problem("HNV-DATAPATH-010", f"the kernel refused to take the policy back: {error}")
            ) from error

    def _check_room(self, current: Image, steps: list[Step]) -> None:
        """Old and new entries stand side by side for a moment, and both must fit.

        Raises:
            InvalidPolicyError: they do not.
        """
        full = overfull(current, steps, self._room)
        if full:
            raise InvalidPolicyError([no_room(name, needed, self._room[name]) for name, needed in full])

    def _write(self, steps: list[Step]) -> None:
        for step in steps:
            if step.map_name == ACL_RULES and step.removes:
                # The end of a list allows: no packet may still be on its way through rules that go.
                wait_for_programs()
            target = self._maps[step.map_name]
            if step.map_name == SETTINGS:
                # Who follows a packet sets the flag beside the agent, which must not clear it.
                with settings_locked(self.maps):
                    target.update(
                        {key: _traced(value, self._is_tracing(key)) for key, value in step.upserts.items()}
                    )
                continue
            target.update(step.upserts)
            target.delete(step.removes)

    def _is_tracing(self, key: bytes) -> bool:
        value = self._maps[SETTINGS].get(key) or bytes(4)
        return bool(int.from_bytes(value[:4], "little") & SettingsFlag.TRACE)


def _traced(settings: bytes, on: bool) -> bytes:
    """The settings with the flag TRACE on or off."""
    flags = int.from_bytes(settings[:4], "little") & ~SettingsFlag.TRACE
    return (flags | (SettingsFlag.TRACE if on else 0)).to_bytes(4, "little") + settings[4:]

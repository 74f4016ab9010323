"""One history of policies and frames, through model and eBPF: they agree, and no domain reaches another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from random import Random
from uuid import UUID

from lab.datapath.abi import Drop
from lab.datapath.policy import Policy

from .model import FORWARD, Model, Outcome
from .model.encapsulation import without_hash
from .model.parsing import ICMP6
from .strategies import Devices, again, often, policies
from .strategies_frames import answer, vm_frame, wire_frame
from .strategies_ip import ROUTERS
from .switch_rig import Rig

POLICIES, FRAMES = 3, 10


@dataclass
class Tally:
    """What a run has covered: frames by the reason that they ended with."""

    reasons: Counter[str] = field(default_factory=Counter)
    routers_words: Counter[str] = field(default_factory=Counter)
    """What went on from the link-local address of a tenant's router: from a VM, from the wire."""

    @property
    def frames(self) -> int:
        return self.reasons.total()


class History:
    """Policies one after the other, frames under each, through model and switch.

    Args:
        rng: all chance comes from it.
    """

    def __init__(self, bench: Rig, rng: Random, tally: Tally) -> None:
        self._bench = bench
        self._rng = rng
        self._tally = tally
        self._devices = Devices(bench.ports, bench.uplinks)
        self._policy = Policy()
        self._left: tuple[int, int, bytes] | None = None

    def run(self) -> None:
        """Live through it.

        Raises:
            AssertionError: model and switch differ, or a frame left its routing domain; the message holds all
                that it takes to see it again.
        """
        self._policy = policies(self._rng, self._devices)
        self._bench.forget_flows()
        model = Model(self._policy, self._bench.mtu)
        for turn in range(self._rng.randint(1, POLICIES)):
            if turn:
                self._policy = again(self._rng, self._devices, self._policy)
                model.apply(self._policy)
            self._bench.apply(self._policy)
            for _ in range(FRAMES):
                self._frame(model)

    def _frame(self, model: Model) -> None:
        ifindex, frame = self._next()
        wanted = model.vport(ifindex, frame) if ifindex else model.uplink(frame)
        copies = len(wanted.counts) - 1
        seen = self._bench.vport(ifindex, frame, copies) if ifindex else self._bench.wire(frame, copies)
        reason = wanted.counts[0][0][0].name if wanted.counts else wanted.verdict
        told = f"{reason}; {ifindex=} frame={frame.hex()}\n{wanted=}\n  {seen=}\n{self._policy}"
        self._agree(seen, wanted, told)
        self._isolated(ifindex, wanted, seen, told)
        self._left = (ifindex, seen.ifindex, seen.frame) if seen.verdict == FORWARD else None
        self._tally.reasons[reason] += 1
        vsid = wanted.counts[0][0][2] if wanted.counts else 0
        if reason == Drop.FORWARDED.name and self._is_routers_word(ifindex, vsid, frame):
            self._tally.routers_words["VM" if ifindex else "wire"] += 1

    def _is_routers_word(self, ifindex: int, vsid: int, frame: bytes) -> bool:
        """Whether a frame that went on may do so for no other reason.

        Args:
            vsid: that it came in with.
        """
        policy = self._policy
        inner = frame if ifindex else frame[14 + (36 if policy.switch.vxlan else 28) :]
        if ifindex:
            port = next(p for p in policy.ports if p.ifindex == ifindex)
            may_else = port.gateway or port.forwarding
        else:
            sender, domain = IPv4Address(frame[26:30]), domain_of(policy, vsid)
            may_else = any(
                m.gateway for m in policy.members if (m.rdid, m.provider_address) == (domain, sender)
            )
        said = (
            inner[12:14] == b"\x86\xdd"
            and inner[20] == ICMP6
            and inner[54:55] in {bytes([kind]) for kind in ROUTERS}
        )
        return said and not may_else and inner[22:24] == b"\xfe\x80"

    def _next(self) -> tuple[int, bytes]:
        """Where a frame comes in, 0: from the wire; and the frame."""
        rng, policy = self._rng, self._policy
        if self._left and often(rng, 3):
            ifindex, at, frame = self._left
            sender = next((p for p in policy.ports if p.ifindex == ifindex), None)
            if len(frame) >= 14 + 36 + 14 + 40 and frame[12:14] != b"\x08\x06":
                return answer(rng, policy, sender, at, frame)
        if often(rng, 3):
            return vm_frame(rng, policy, self._devices)
        return 0, wire_frame(rng, policy)

    def _agree(self, seen: Outcome, wanted: Outcome, told: str) -> None:
        assert seen.verdict == wanted.verdict, told
        assert sorted(seen.counts) == sorted(wanted.counts), told
        missing = [*zip(wanted.copy_outlets, (frame for _, frame in wanted.copies), strict=True)]
        for ifindex, frame in seen.copies:
            plain = self._plain(ifindex, frame)
            found = next((one for one in missing if ifindex in one[0] and one[1] == plain), None)
            assert found is not None, f"copy {ifindex} {plain.hex()} of {told}"
            missing.remove(found)
        assert not missing, told
        if wanted.verdict == FORWARD:
            assert seen.ifindex in wanted.outlets, told
            assert self._plain(seen.ifindex, seen.frame).hex() == wanted.frame.hex(), told

    def _plain(self, ifindex: int, frame: bytes) -> bytes:
        """A frame without what is the switch's own choice."""
        return without_hash(frame)[0] if ifindex in self._bench.uplinks else frame

    def _isolated(self, ifindex: int, wanted: Outcome, seen: Outcome, told: str) -> None:
        """Whatever leaves stays in the routing domain: by its port, or by VSID and PA on the wire."""
        left = list(seen.copies)
        if seen.verdict == FORWARD:
            left.append((seen.ifindex, seen.frame))
        if not left:
            return
        port = next((p for p in self._policy.ports if p.ifindex == ifindex), None)
        domain = domain_of(self._policy, port.vsid if port else wanted.counts[0][0][2])
        assert domain is not None, told
        for outlet, frame in left:
            assert reaches(self._policy, self._bench.uplinks, outlet, frame) == {domain}, told


def domain_of(policy: Policy, vsid: int) -> UUID | None:
    """The routing domain of a virtual subnet."""
    return next((s.rdid for s in policy.subnets if s.vsid == vsid), None)


def reaches(policy: Policy, uplinks: list[int], outlet: int, frame: bytes) -> set[UUID | None]:
    """The routing domains that a frame gets into when it leaves: one, if all is well.

    On the wire it is what the VSID says; and, if the PA that it goes to has no part in that, nobody knows.
    """
    if outlet not in uplinks:
        return {domain_of(policy, p.vsid) for p in policy.ports if p.ifindex == outlet}
    at = 46 if policy.switch.vxlan else 38
    domain = domain_of(policy, int.from_bytes(frame[at : at + 3], "big"))
    parts = {r.provider_address for r in policy.lookups if domain_of(policy, r.vsid) == domain}
    parts |= {m.provider_address for m in policy.members if m.rdid == domain}
    parts |= {r.external_router for r in policy.routes if r.rdid == domain and r.external_router}
    return {domain} if IPv4Address(frame[30:34]) in parts else {domain, None}

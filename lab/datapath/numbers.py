"""Numbers that stand for long names in the kernel's maps: routing domains, and sets of rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.datapath import entries
from lab.datapath.image import ACL_RULES, ACLS, Content, Wanted
from lab.datapath.policy import Port

LAST_ACL = bytes(16)
"""Key of the highest number that a set of rules was ever given. No number is given twice: a flow remembers
the one that it was judged by."""


class Numbers:
    """Names and the numbers that stand for them in the kernel's maps; a name keeps its number.

    Args:
        known: numbers given already.
        last: the highest that was ever given.
    """

    def __init__(self, known: Mapping[bytes, bytes], last: int) -> None:
        self._known = {name: int.from_bytes(value, "little") for name, value in known.items()}
        self.last = max([last, *self._known.values()])

    def of(self, name: bytes) -> int:
        """The number of a name: the one that it has, else a new one."""
        number = self._known.get(name)
        if number is None:
            self.last += 1
            number = self._known[name] = self.last
        return number


@dataclass(slots=True)
class _Set:
    digest: bytes
    rules: list[tuple[int, int, bytes]]
    users: int = 0


class AclSets:
    """The sets of rules that ports have. Equal ones are one set, which has one number as long as it is there.

    Args:
        known: content of the map that holds the numbers.
    """

    def __init__(self, known: Content) -> None:
        given = dict(known)
        last = int.from_bytes(given.pop(LAST_ACL, b""), "little")
        self._numbers = Numbers(given, last)
        self._sets: dict[int, _Set] = {}
        self._of_port: dict[int, int] = {}

    def number(self, ifindex: int) -> int:
        """The number of a port's set; 0: it has no rules."""
        return self._of_port[ifindex]

    def take(self, port: Port) -> int:
        """Note that a port has come.

        Returns:
            The number of its set; 0: it has no rules.
        """
        number = 0
        if port.acl:
            rules = entries.acl_rules(port.acl)
            digest = entries.acl_digest(rules)
            number = self._numbers.of(digest)
            self._sets.setdefault(number, _Set(digest, rules)).users += 1
        self._of_port[port.ifindex] = number
        return number

    def release(self, port: Port) -> int:
        """Note that a port has gone; what it leaves stands until `forget`.

        Returns:
            The number of the set that it had; 0: it had no rules.
        """
        number = self._of_port.pop(port.ifindex)
        if number:
            self._sets[number].users -= 1
        return number

    def put(self, number: int, wanted: Wanted) -> None:
        """The entries that a set shall have now."""
        item = self._sets[number]
        used = item.users > 0
        wanted[ACLS][LAST_ACL] = entries.u32(self._numbers.last)
        wanted[ACLS][item.digest] = entries.u32(number) if used else None
        for direction, index, value in item.rules:
            wanted[ACL_RULES][entries.acl_key(number, direction, index)] = value if used else None

    def forget(self) -> None:
        """Let go of sets that no port has."""
        self._sets = {number: item for number, item in self._sets.items() if item.users}

"""The gateway's name servers in the machine's resolv.conf(5), while the connection stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MARK = "# by hnvlab"
_KEYWORD = "nameserver"


def told(text: str) -> tuple[str, ...]:
    """The name servers of a resolv.conf(5)."""
    words = [line.split() for line in text.splitlines()]
    return tuple(line[1] for line in words if len(line) > 1 and line[0] == _KEYWORD)


def with_servers(text: str, servers: Sequence[str]) -> str:
    """A resolv.conf(5) with these of ours before its own name servers; none: as it was.

    A comment has a line of its own: not every resolver takes one behind an address.
    """
    lines = text.splitlines()
    own = [
        line
        for number, line in enumerate(lines)
        if line != MARK and not (number and lines[number - 1] == MARK)
    ]
    ours = [item for server in servers for item in (MARK, f"{_KEYWORD} {server}")]
    return "".join(f"{line}\n" for line in (*ours, *own))


def put(path: Path, servers: Sequence[str]) -> bool:
    """Have exactly these of ours there; True if others were.

    The file is written in place: in a container it is a bind mount, which cannot be replaced.

    Parameters:
        path: of resolv.conf; it is made if there is none and there are servers.
        servers: addresses, best first.

    Raises:
        OSError: it cannot be written.
    """
    before = path.read_text() if path.exists() else ""
    after = with_servers(before, servers)
    if before == after:
        return False
    path.write_text(after)
    return True

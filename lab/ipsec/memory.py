"""What a charon was given, remembered beyond the program that gave it: charon may live longer.

VICI tells which connections charon has, and neither all of their settings nor any secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.ipsec.load import Load


def beside(socket: Path) -> Path:
    """Where the memory of the charon with this VICI socket stands."""
    return socket.with_suffix(".given")


def digest(load: Load) -> str:
    """What a connection's SAs rest on; whatever else changes does not close them."""
    text = json.dumps([load.connections, load.secrets], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Memory:
    """Digests by connection, in a file beside charon's socket. It holds no secret, and is its owner's alone.

    Parameters:
        path: where the file is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: Mapping[str, str] = {}
        # Not there, or not whole: nothing is known, and what stands is made anew.
        with suppress(OSError, ValueError):
            self._kept = dict(json.loads(path.read_text()))

    @property
    def kept(self) -> Mapping[str, str]:
        """What was given last."""
        return self._kept

    def keep(self, digests: Mapping[str, str]) -> None:
        """Remember exactly these.

        Raises:
            OSError: the file cannot be written.
        """
        if digests == self._kept:
            return
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(digests))
        fresh.rename(self._path)
        self._kept = dict(digests)

"""Who encrypts: the kernel, where it can, else strongSwan's own library."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from enum import StrEnum

KERNEL_PROBES: tuple[Sequence[str], ...] = (
    ("unshare", "--net", "ip", "link", "add", "probe0", "type", "xfrm", "dev", "lo", "if_id", "1"),
    (
        *("unshare", "--net", "ip", "xfrm", "state", "add", "src", "127.0.0.1", "dst", "127.0.0.2"),
        *("proto", "esp", "spi", "0x1000", "mode", "tunnel"),
        *("aead", "rfc4106(gcm(aes))", "0x" + "00" * 20, "128"),
    ),
)
"""Each must succeed; each runs in a network namespace that dies with it, so that nothing is left.
Asking the kernel also makes it load its modules, where it has them and has not yet."""
PROBE_TIMEOUT_S = 10


class EspBackend(StrEnum):
    """Who encrypts and decrypts ESP."""

    KERNEL = "kernel"
    """xfrm, one xfrm interface for each connection."""
    LIBIPSEC = "libipsec"
    """charon itself behind a TUN device; always ESP in UDP."""


def succeeds(command: Sequence[str]) -> bool:
    """Whether a command ends with 0; its output is nobody's business."""
    try:
        ended = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except OSError:
        return False
    return ended.returncode == 0


def detect_backend(works: Callable[[Sequence[str]], bool] = succeeds) -> EspBackend:
    """The kernel if it has both ESP and xfrm interfaces, else libipsec.

    Parameters:
        works: tells whether a probe command succeeds; needs CAP_NET_ADMIN and CAP_SYS_ADMIN to be able to.
    """
    return EspBackend.KERNEL if all(works(probe) for probe in KERNEL_PROBES) else EspBackend.LIBIPSEC

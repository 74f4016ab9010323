"""What the gateway's tests show here is the kernel's own ESP and GRE, and not what stands in for them."""

from __future__ import annotations

import subprocess

from lab.ipsec.esp import EspBackend, detect_backend


def test_the_kernel_encrypts() -> None:
    assert detect_backend() is EspBackend.KERNEL


def test_the_kernel_has_gre() -> None:
    """lab/edge/tunnel.py asks in the same words."""
    device = ("gre1", "type", "gre", "local", "192.0.2.1", "remote", "192.0.2.2", "key", "7")
    subprocess.run(["unshare", "--net", "ip", "link", "add", *device], check=True)

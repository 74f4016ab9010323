"""The switch in plain Python, written from docs/datapath.md, not from the C: hypothesis compares them."""

from .outcome import FORWARD, PASS, SHOT, Outcome
from .parsing import checksum, mac
from .switch import Model

__all__ = ["FORWARD", "PASS", "SHOT", "Model", "Outcome", "checksum", "mac"]

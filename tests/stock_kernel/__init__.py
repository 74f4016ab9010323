"""Tests that run in Debian's stock kernel, in an emulated machine: `make test-stock-kernel`."""

INSIDE = "HNVLAB_STOCK_KERNEL"
"""Environment variable that is set in the emulated machine."""

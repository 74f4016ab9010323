"""These tests want modules that only the stock kernel is sure to have: nobody else collects them."""

from __future__ import annotations

import os

from tests.stock_kernel import INSIDE

collect_ignore_glob = [] if os.environ.get(INSIDE) else ["test_*.py"]

"""Run every benchmark: `python -m tests.bench`."""

from __future__ import annotations

from tests.bench import up

if __name__ == "__main__":
    up.main()

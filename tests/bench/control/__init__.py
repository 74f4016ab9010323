"""How soon policy holds, and how long a migration is felt: `python -m tests.bench.control`."""

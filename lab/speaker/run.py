"""Running ExaBGP."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lab.speaker.config import Speaker, exabgp_config, exabgp_environment


def become_exabgp(speaker: Speaker, path: Path, routes_command: Sequence[str]) -> NoReturn:
    """Become ExaBGP.

    Parameters:
        speaker: whose router it is.
        path: where its configuration is written.
        routes_command: the program that receives what the neighbour offers.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(exabgp_config(speaker, routes_command))
    os.execve(
        sys.executable,
        [sys.executable, "-m", "exabgp", "server", str(path)],
        os.environ | exabgp_environment(speaker),
    )

"""The data plane under test, compiled from the sources of this checkout once in a test run."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from lab.datapath.build import SOURCE, compile_object


def compiled(source: Path = SOURCE) -> Path:
    """The object of a source, the switch's or another; its directory goes when the run ends."""
    return _compiled(source)


@functools.cache
def _compiled(source: Path) -> Path:
    directory = tempfile.mkdtemp(prefix="hnvt-object-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return compile_object(Path(directory), source=source)

"""The data plane under test, compiled from the sources of this checkout once in a test run."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from lab.datapath.build import compile_object


@functools.cache
def compiled() -> Path:
    """The object; its directory goes when the run ends."""
    directory = tempfile.mkdtemp(prefix="hnvt-object-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return compile_object(Path(directory))

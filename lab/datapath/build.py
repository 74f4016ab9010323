"""Compile the data plane: `python -m lab.datapath.build [OUT_DIR]` writes its objects into OUT_DIR."""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from lab.datapath.errors import NoDatapathError
from lab.errors import LabError, Problem

PACKAGE = Path(__file__).parent
SOURCE = PACKAGE / "bpf" / "wnv.bpf.c"
OBJECT = PACKAGE / "wnv.bpf.o"
"""Where the agents look for the compiled switch."""
FRONT_END_SOURCE = PACKAGE / "bpf" / "frontend.bpf.c"
FRONT_END_OBJECT = PACKAGE / "frontend.bpf.o"
"""Where the gateway and the top-of-rack switch look for the compiled front end."""
SOURCES = (SOURCE, FRONT_END_SOURCE)


def compile_object(out_dir: Path = PACKAGE, *, source: Path = SOURCE, compiler: str = "clang") -> Path:
    """Compile an eBPF object: what hosts and gateways load as their switch, or another.

    Args:
        out_dir: directory to write the object into; made when missing.
        source: C file, NAME.c, of which NAME.o is made; what it includes stands beside it.
        compiler: name or path of clang.

    Returns:
        The object's path.

    Raises:
        NoDatapathError: clang or a header is missing, or the source does not compile.
    """
    clang = shutil.which(compiler)
    if clang is None:
        raise NoDatapathError(
            Problem(
                "HNV-DATAPATH-001",
                f"there is no {compiler} to compile the data plane with",
                place=str(source),
                expected="clang 11 or later with the bpf target",
                hint="apt-get install clang libbpf-dev linux-libc-dev",
            )
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / source.with_suffix(".o").name
    # The kernel's asm/ headers stand under a directory for each architecture on Debian and Ubuntu.
    multiarch = Path(f"/usr/include/{platform.machine()}-linux-gnu")
    command = [clang, "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror"]
    command += [f"-I{multiarch}"] if multiarch.is_dir() else []
    done = subprocess.run(
        [*command, "-c", str(source), "-o", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoDatapathError(
            Problem(
                "HNV-DATAPATH-002",
                f"the data plane does not compile:\n{done.stderr.strip()}",
                place=str(source),
                hint="apt-get install libbpf-dev linux-libc-dev" if "file not found" in done.stderr else "",
            )
        )
    return target


def main(arguments: list[str]) -> int:
    """Compile; the paths of the objects go to stdout, one a line."""
    parser = argparse.ArgumentParser(prog="python -m lab.datapath.build", description=__doc__)
    parser.add_argument("out_dir", nargs="?", type=Path, default=PACKAGE)
    out_dir = parser.parse_args(arguments).out_dir
    try:
        targets = [compile_object(out_dir, source=source) for source in SOURCES]
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.writelines(f"{target}\n" for target in targets)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The program that moves a VM's port from host to host and watches what the VM loses by it.

Talked to through `lab.engine.helper`. First line of stdin: `{"pids": {NODE: PID}, "hosts": [NODE…], "vm":
NODE, "port": NAME, "alias": ALIAS, "destination": NODE, "targets": [ADDRESS…], "rate_pps": N}`. It answers
with where the port stands and which index it will have at the destination: `{"host": NODE or null,
"ifindex": N or null}`. `{"probe": true}` is answered by which target answers the probe, `{"target": ADDRESS
or null}`, each `{"move": NODE}` by `{"move_ms": T}`, and `{"end": {"within_s": T}}` by what was lost,
`{"sent": N, "lost": N, "blackout_ms": T or null}` (all null without a target).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from lab.engine.migrate_probe import Stream
from lab.engine.namespaces import Namespace, WiringError, namespaces
from lab.engine.netlink import holder

TRY_S = 0.5
"""How long a target may take to answer the first probes."""
TRIED = 10
"""Answers in a row that make a target a good one."""
SETTLED = 200
"""Answers in a row by which a blackout is over."""
PAUSE_S = 0.01


def main() -> int:
    """Serve one migration from stdin to stdout."""
    lines = (json.loads(line) for line in sys.stdin)
    request = next(lines)
    try:
        with namespaces(request["pids"], lambda _: None) as spaces:
            _serve(request, lines, spaces)
    except (OSError, WiringError) as error:
        _answer({"error": str(error)})
        return 1
    return 0


def _serve(
    request: Mapping[str, Any], orders: Iterable[Mapping[str, Any]], spaces: dict[str, Namespace]
) -> None:
    port, hosts = request["port"], {node: spaces[node] for node in request["hosts"]}
    standing = holder(port, request["alias"], hosts)
    stream = None
    index = spaces[standing].index_at(spaces[request["destination"]]) if standing is not None else None
    _answer({"host": standing, "ifindex": index})
    for order in orders:
        if "probe" in order:
            target, stream = _probe(request["targets"], request["rate_pps"], spaces[request["vm"]])
            _answer({"target": target})
            continue
        if "end" in order:
            _answer(_lost(stream, order["end"]["within_s"]))
            return
        if standing is None:
            raise WiringError(f"no host has the port {port}")
        before = time.monotonic_ns()
        spaces[standing].move(port, spaces[order["move"]])
        _answer({"move_ms": (time.monotonic_ns() - before) / 1e6})
        standing = order["move"]


def _probe(targets: Iterable[str], rate_pps: int, vm: Namespace) -> tuple[str | None, Stream | None]:
    """A stream to the first target that answers."""
    vm.enter()
    for target in targets:
        stream = Stream(target, rate_pps)
        stream.start()
        if _becomes_steady(stream, TRIED, TRY_S):
            return target, stream
        stream.stop()
    return None, None


def _lost(stream: Stream | None, within_s: float) -> dict[str, Any]:
    if stream is None:
        return {"sent": None, "lost": None, "blackout_ms": None}
    _becomes_steady(stream, SETTLED, within_s)
    found = stream.stop()
    return {"sent": found.sent, "lost": found.lost, "blackout_ms": found.blackout_ms}


def _becomes_steady(stream: Stream, run: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not stream.steady(run):
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE_S)
    return True


def _answer(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

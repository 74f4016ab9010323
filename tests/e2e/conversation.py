"""A TCP connection between two VMs that is never idle, and the adapter of a VM as the VM itself sees it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.testing import RunningLab, eventually

WITHIN_S = 20

SERVER = """
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.create_server((address, port), family=family)
print("listening", flush=True)
connection, _ = listener.accept()
while piece := connection.recv(4096):
    connection.sendall(piece)
"""
CLIENT = """
import socket, sys, threading
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.settimeout(30)
trips = 0
def talk():
    global trips
    while True:
        connection.sendall(b"%8d" % trips)
        answer = b""
        while len(answer) < 8:
            answer += connection.recv(8 - len(answer)) or sys.exit("the connection was closed")
        assert int(answer) == trips
        trips += 1
threading.Thread(target=talk, daemon=True).start()
for _ in sys.stdin:
    print(trips, flush=True)
"""

Trips = Callable[[], int]
"""The round trips so far."""


@contextmanager
def conversation(
    lab: RunningLab, client: str, server: str, address: str, port: int = 9000
) -> Iterator[Trips]:
    """One TCP connection from a VM to another.

    Args:
        client, server: VMs.
        address, port: of the server.
    """
    serving = _python(lab, server, SERVER, address, str(port))
    assert serving.stdout is not None
    assert serving.stdout.readline() == "listening\n"
    calling = _python(lab, client, CLIENT, address, str(port))

    def trips() -> int:
        assert calling.stdin is not None
        assert calling.stdout is not None
        calling.stdin.write("?\n")
        calling.stdin.flush()
        return int(calling.stdout.readline())

    try:
        yield trips
    finally:
        for process in (calling, serving):
            process.communicate(timeout=30)


def goes_on(trips: Trips) -> None:
    """Assert that the connection still works."""
    before = trips()

    def more() -> None:
        assert trips() > before + 10

    eventually(more, within_s=WITHIN_S)


def ports(lab: RunningLab, host: str) -> set[str]:
    """The vports of a host."""
    return {link["ifname"] for link in json.loads(lab.run(host, "ip", "-j", "link").check())}


def adapter(lab: RunningLab, vm: str) -> tuple[object, ...]:
    """What a VM sees of its own network."""
    (link,) = json.loads(lab.run(vm, "ip", "-j", "address", "show", "eth0").check())
    for address in link["addr_info"]:
        del address["preferred_life_time"], address["valid_life_time"]
    routes = [lab.run(vm, "ip", family, "route").check() for family in ("-4", "-6")]
    return link["ifindex"], link["address"], link["addr_info"], routes


def _python(lab: RunningLab, node: str, program: str, *arguments: str) -> subprocess.Popen[str]:
    command = ["docker", "exec", "--interactive", f"{lab.name}-{node}", "python3", "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

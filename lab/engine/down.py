"""Removes a lab by its mark: whatever carries it, whoever made it, without the topology file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import docker
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from lab.engine import containers, observe
from lab.engine.events import Events, NodeChanged, phase
from lab.engine.state import LabState
from lab.errors import Problem, WaitTimeoutError

AT_ONCE = 8
"""Removals side by side; the engine does no more at a time."""
TIMEOUT_S = 120
PAUSE_S = 0.1


def down(client: docker.DockerClient, lab: str, state: LabState, events: Events) -> int:
    """Remove everything of a lab: containers, and with them their namespaces and links, networks, state.

    Images stay. A lab that is not there is as good as removed.

    Parameters:
        client: of the engine.
        lab: its name.
        state: its directory on this machine.
        events: is told each node that is removed.

    Returns:
        How many things were removed.

    Raises:
        BusyLabError: another process works on the lab.
        ContainerError: the engine refuses to remove something.
        WaitTimeoutError: something is still there after two minutes.
    """
    with state.locked(), phase(events, "removal") as current:
        current.changes = remove_all(client, lab, events) + state.remove()
        return current.changes


def remove_all(client: docker.DockerClient, lab: str, events: Events) -> int:
    """Remove all Docker objects of a lab; how many there were.

    An `up` that was killed may have left requests with the engine which it still works on: what they make
    appears after we looked. So we look again until nothing is left.
    """
    seen: set[str] = set()

    def round_of_removal() -> tuple[str, ...]:
        ids, networks = observe.everything(client, lab)
        seen.update(ids, networks)
        _remove(client, lab, ids, events)
        if not ids:
            for name in networks:
                containers.remove_network(client, name)
        return ids + networks

    try:
        Retrying(retry=retry_if_result(bool), stop=stop_after_delay(TIMEOUT_S), wait=wait_fixed(PAUSE_S))(
            round_of_removal
        )
    except RetryError as error:
        left = error.last_attempt.result()
        raise WaitTimeoutError(
            Problem(
                code="HNV-ENG-050",
                message=f"{len(left)} objects of the lab {lab} are still there after {TIMEOUT_S} s",
                place=lab,
                hint=f"docker ps --all --filter label=hnvlab.lab={lab}; then hnvlab down {lab} again",
            )
        ) from None
    return len(seen)


def _remove(client: docker.DockerClient, lab: str, ids: Sequence[str], events: Events) -> None:
    if not ids:
        return
    names = {node.container: node.node for node in observe.nodes(client, lab)}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="down") as pool:
        list(pool.map(lambda id_: containers.remove(client, id_), ids))
    for node in names.values():
        events(NodeChanged(node, "removed"))

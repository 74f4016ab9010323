"""Packets of a node's interface, taken by tcpdump in a throw-away container that shares the node's namespace.

So a node's image needs no tcpdump, and a capture disturbs nothing of the node.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import docker
from docker.errors import APIError

from lab.engine import containers, owner
from lab.engine.observe import HELPER, StandingNode
from lab.errors import LabError, Problem
from lab.plan import marks

CAPABILITIES = ("NET_RAW", "NET_ADMIN", "SETUID", "SETGID")
"""Packet sockets; promiscuous mode; tcpdump becomes an ordinary user as soon as it has its socket."""
INTERRUPTED = 130
ASK_AGAIN_AFTER_S = 0.5
"""A signal is lost on the first process of a container that has not yet said what it does about it."""


class CaptureError(LabError):
    """A capture could not be begun, or tcpdump ended with an error."""


class Capture:
    """One capture under way. `stop` may be called from a signal handler: it only sets a flag."""

    def __init__(self, client: docker.DockerClient, lab: str, node: StandingNode, image: str) -> None:
        """Prepare a capture in a node.

        Parameters:
            image: with tcpdump in it: the fabric image.
        """
        self._client = client
        self._lab = lab
        self._node = node
        self._image = image
        self._stop = threading.Event()
        self._ended = threading.Event()

    def stop(self) -> None:
        """Ask tcpdump to write what it has and end."""
        self._stop.set()

    def run(
        self,
        interface: str,
        arguments: Sequence[str],
        out: Callable[[bytes], Any],
        err: Callable[[bytes], Any],
    ) -> None:
        """Capture until `stop`, or until tcpdump ends by itself.

        Parameters:
            interface: of the node; "any" for all.
            arguments: further ones for tcpdump: `-w -` for a pcap on stdout, a filter.
            out, err: take what tcpdump writes.

        Raises:
            CaptureError: tcpdump failed; what it said went to `err`.
        """
        api = self._client.api
        # Immediate mode: else the kernel keeps packets back for a while, and those are lost when tcpdump is
        # stopped.
        made = self._create(["tcpdump", "-i", interface, "--immediate-mode", "-U", *arguments])
        waiter = threading.Thread(target=self._end_when_asked, args=(made,), daemon=True)
        try:
            pieces = api.attach(made, stdout=True, stderr=True, stream=True, demux=True)
            api.start(made)
            waiter.start()
            for piece, complaint in pieces:
                if piece:
                    out(piece)
                if complaint:
                    err(complaint)
            status = api.wait(made)["StatusCode"]
        finally:
            self._ended.set()
            containers.remove(self._client, made)
        if status not in (0, INTERRUPTED):
            raise CaptureError(
                Problem(
                    code="HNV-ENG-071",
                    message=f"tcpdump on {self._node.node}:{interface} ended with {status}",
                    place=f"{self._node.node}:{interface}",
                    hint=f"hnvlab exec {self._node.node} -- ip link",
                )
            )

    def _create(self, command: Sequence[str]) -> str:
        api = self._client.api
        try:
            made = api.create_container(
                image=self._image,
                command=list(command),
                labels={marks.LAB: self._lab, marks.KIND: HELPER, owner.LABEL: owner.mark()},
                # No init between: it could not hand a signal on to a tcpdump that is another user by then.
                host_config=api.create_host_config(
                    network_mode=f"container:{self._node.container}",
                    cap_drop=["ALL"],
                    cap_add=list(CAPABILITIES),
                    # The packets go through the attached connection; a log would keep them all a second time.
                    log_config={"Type": "none"},
                ),
            )
        except APIError as error:
            raise CaptureError(
                Problem(
                    code="HNV-ENG-070",
                    message=f"no capture on {self._node.node}: {error.explanation}",
                    place=self._node.node,
                )
            ) from error
        return str(made["Id"])

    def _end_when_asked(self, container: str) -> None:
        self._stop.wait()
        with contextlib.suppress(APIError):  # it has ended by itself meanwhile
            while not self._ended.is_set():
                self._client.api.kill(container, "SIGINT")
                self._ended.wait(ASK_AGAIN_AFTER_S)

"""Drives one charon through VICI: keeps its connections as desired, and watches their state."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vici import Session
from vici.exception import CommandException, SessionException

from lab.ipsec.logtail import LogTail
from lab.ipsec.state import Phase, TunnelState, cause_of, observed
from lab.ipsec.tunnel import Tunnel

log = logging.getLogger(__name__)

EVENTS = ("ike-updown", "child-updown", "ike-rekey", "child-rekey")
DO_NOT_WAIT = "-1"
RECONNECT_S = 0.1
REQUEST_TIMEOUT_S = 10.0

OnAttach = Callable[[], None]
OnLook = Callable[[bool], None]


class Charon:
    """One charon, found by its VICI socket.

    `apply` says what shall be loaded; `watch` runs in a thread of its own, loads it again whenever charon has
    been started anew, and keeps `states` current. Commands are serialised and never wait for an SA: charon
    5.9.8 can deadlock when several connections are initiated at once with events on (fixed in 5.9.11).

    Parameters:
        socket_path: charon's VICI socket.
        log_path: its log file of causes (`CharonConfig.log`).
        retry_s: a tunnel that we initiate and that has no SA is tried again so often, in seconds.
        poll_s: longest time between two looks at the SAs, in seconds.
    """

    def __init__(
        self, socket_path: Path, log_path: Path, *, retry_s: float = 2.0, poll_s: float = 1.0
    ) -> None:
        self._path = socket_path
        self._log = LogTail(log_path)
        self._retry_s = retry_s
        self._poll_s = poll_s
        self._lock = threading.RLock()
        self._desired: dict[str, Tunnel] = {}
        self._loaded: dict[str, Tunnel] | None = None
        self._states: dict[str, TunnelState] = {}
        self._initiated_at: dict[str, float] = {}
        self._seen = threading.Event()

    @property
    def states(self) -> Mapping[str, TunnelState]:
        """The state of each desired tunnel as it was last seen."""
        with self._lock:
            return {name: self._states.get(name, TunnelState()) for name in self._desired}

    @property
    def seen(self) -> threading.Event:
        """Set once charon's SAs have been looked at: until then, `states` says nothing."""
        return self._seen

    def apply(self, tunnels: Mapping[str, Tunnel]) -> None:
        """Have exactly these tunnels loaded: now, if charon answers, else when it does.

        A tunnel that has changed is loaded anew and its SAs are closed; the others notice nothing.
        """
        with self._lock:
            self._desired = dict(tunnels)
            for name in self._states.keys() - tunnels.keys():
                del self._states[name]
            if self._loaded is None:
                return
            try:
                with self._session() as session:
                    self._load(session, self._loaded)
            except OSError as error:
                log.info("%s: charon is gone, it is loaded when it is back: %s", self._path.stem, error)
                self._loaded = None

    def watch(self, stop: threading.Event, on_attach: OnAttach, on_look: OnLook) -> None:
        """Stay attached to charon until told to stop.

        Parameters:
            stop: ends the loop within `poll_s`.
            on_attach: called when charon answers, at first and after each of its starts, before anything is
                loaded: devices may be new.
            on_look: called after each look at the SAs; True if a state has changed.
        """
        started_before = False
        while not stop.is_set():
            try:
                with self._session() as events:
                    on_attach()
                    self._attach(started_before)
                    started_before = True
                    self._follow(events, stop, on_look)
            except (OSError, SessionException) as error:
                if self._loaded is not None:
                    log.warning("%s: charon does not answer any more: %s", self._path.stem, error)
                self._detach(on_look)
                stop.wait(RECONNECT_S)

    def _attach(self, started_before: bool) -> None:
        """Load everything into a charon that we have not spoken to yet.

        Raises:
            OSError: it does not answer.
        """
        with self._lock, self._session() as session:
            known = {name.decode() for name in session.get_conns().get("conns", [])}
            # What an earlier run left loaded, with a start_action, must not be loaded again: that closes SAs.
            present = {n: t for n, t in self._desired.items() if n in known and t.initiator}
            self._load(session, present)
            for name in known - self._desired.keys():
                _unload(session, name)
            if started_before and not known:
                # Charon died. The peer would notice after its dead-peer detection only: call it.
                for tunnel in self._desired.values():
                    self._initiate(session, tunnel)

    def _load(self, session: Session, loaded: Mapping[str, Tunnel]) -> None:
        self._loaded = dict(loaded)
        for name in loaded.keys() - self._desired.keys():
            _unload(session, name)
            del self._loaded[name]
        for name, tunnel in self._desired.items():
            before = self._loaded.get(name)
            if before == tunnel:
                continue
            try:
                session.load_shared(tunnel.shared())
                session.load_conn(tunnel.connection())
            except CommandException as error:
                log.error("%s: charon refuses the connection: %s", name, error)
                self._states[name] = replace(self._states.get(name, TunnelState()), last_error=str(error))
                continue
            self._loaded[name] = tunnel
            if before is not None:
                _terminate(session, name)

    def _follow(self, events: Session, stop: threading.Event, on_look: OnLook) -> None:
        """Look at the SAs at every event, and at least each `poll_s`."""
        self._look(on_look)
        for _ in events.listen(list(EVENTS), timeout=self._poll_s):
            if stop.is_set():
                return
            self._look(on_look)

    def _look(self, on_look: OnLook) -> None:
        with self._lock, self._session() as session:
            before = self.states
            self._note_causes()
            sas: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
            for entry in session.list_sas():
                for name, sa in entry.items():
                    sas[name].append(sa)
            self._update(sas)
            changed = self._differs(before)
            for name, tunnel in self._desired.items():
                if tunnel.initiator and not sas[name]:
                    self._initiate(session, tunnel)
        self._seen.set()
        on_look(changed)

    def _update(self, sas: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take over what was seen."""
        now = time.time()
        for name, before in self.states.items():
            self._states[name] = observed(before, sas.get(name, ()), now)

    def _differs(self, before: Mapping[str, TunnelState]) -> bool:
        """Whether more than counters has changed."""
        return any(
            (state.phase, state.last_error) != (before[name].phase, before[name].last_error)
            for name, state in self.states.items()
        )

    def _note_causes(self) -> None:
        """Keep the causes that log lines name, each for the connection that it belongs to.

        A line that is written before charon knows the connection belongs to all that are not up.
        """
        for line in self._log.read():
            cause = cause_of(line.text)
            if not cause:
                continue
            for name, state in self.states.items():
                if name == line.connection or (
                    line.connection not in self._desired and state.phase is not Phase.CONNECTED
                ):
                    self._states[name] = replace(state, last_error=cause)

    def _detach(self, on_look: OnLook) -> None:
        with self._lock:
            self._loaded = None
            before = self.states
            self._update({})
            changed = self._differs(before)
        on_look(changed)

    def _initiate(self, session: Session, tunnel: Tunnel) -> None:
        now = time.monotonic()
        if now - self._initiated_at.get(tunnel.name, -self._retry_s) < self._retry_s:
            return
        self._initiated_at[tunnel.name] = now
        try:
            session.request("initiate", {"ike": tunnel.name, "child": tunnel.name, "timeout": DO_NOT_WAIT})
        except CommandException as error:
            log.info("%s: not initiated: %s", tunnel.name, error)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A session of its own for each use: an exchange that broke off must not spoil the next.

        Raises:
            OSError: charon does not answer.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REQUEST_TIMEOUT_S)
            connection.connect(str(self._path))
            yield Session(connection)


def _unload(session: Session, name: str) -> None:
    session.unload_conn({"name": name})
    session.unload_shared({"id": name})
    _terminate(session, name)


def _terminate(session: Session, name: str) -> None:
    """Close the connection's SAs; that there were none is no error."""
    try:
        session.request("terminate", {"ike": name, "force": "yes", "timeout": DO_NOT_WAIT})
    except CommandException as error:
        log.debug("%s: %s", name, error)

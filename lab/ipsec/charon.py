"""Drives one charon through VICI: keeps its connections as desired, and watches their state."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from vici import Session
from vici.exception import CommandException, SessionException

from lab.ipsec import calling
from lab.ipsec.clients import DialInState, noted, observed_clients, unwelcome
from lab.ipsec.dial_in import Caller, DialInServer
from lab.ipsec.loader import DO_NOT_WAIT, Loader, adopted, terminate
from lab.ipsec.logtail import LogLine, LogTail
from lab.ipsec.memory import Memory, beside
from lab.ipsec.state import Phase, TunnelState, blamed, observed
from lab.ipsec.tunnel import Tunnel

log = logging.getLogger(__name__)

EVENTS = ("ike-updown", "child-updown", "ike-rekey", "child-rekey")
RECONNECT_S = 0.1
REQUEST_TIMEOUT_S = 10.0
HANGS_AFTER = 3
"""Attempts in a row without an answer, after which charon is killed: told to end while it calls a peer that
has just hung up, 5.9.8 can loop in its IKE_SA manager for ever, with its sockets open."""

OnAttach = Callable[[], None]
OnLook = Callable[[bool], None]
Desired: TypeAlias = Tunnel | Caller | DialInServer


class Charon:
    """One charon, found by its VICI socket.

    `apply` says what shall be loaded; `watch` runs in a thread of its own, loads it again whenever charon has
    been started anew, and keeps `states` current. Commands are serialised and never wait for an SA: charon
    5.9.8 can deadlock when several connections are initiated at once with events on (fixed in 5.9.11).
    A charon that hangs all the same is killed, for its supervisor to start it anew.

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
        self._memory = Memory(beside(socket_path))
        self._log = LogTail(log_path)
        self._retry_s = retry_s
        self._poll_s = poll_s
        self._lock = threading.RLock()
        self._desired: dict[str, Desired] = {}
        self._loader: Loader | None = None
        self._states: dict[str, TunnelState] = {}
        self._servers: dict[str, DialInState] = {}
        self._initiated_at: dict[str, float] = {}
        self._diallers: dict[str, calling.Dialler] = {}
        self._failed: dict[str, str] = {}
        self._seen = threading.Event()
        self._pid = 0

    @property
    def states(self) -> Mapping[str, TunnelState]:
        """The state of each desired connection with one far end, as it was last seen.

        Never waits: who asks must not be held up by a charon that does not answer. What is desired is
        replaced as a whole, and a state is, too.
        """
        return {
            name: self._states.get(name, TunnelState())
            for name, item in self._desired.items()
            if not isinstance(item, DialInServer)
        }

    @property
    def servers(self) -> Mapping[str, DialInState]:
        """The state of each desired dial-in server as it was last seen. Never waits, either."""
        return {name: self._servers.get(name, DialInState()) for name in self._dial_in()}

    @property
    def seen(self) -> threading.Event:
        """Set once charon's SAs have been looked at: until then, `states` says nothing."""
        return self._seen

    def apply(self, connections: Mapping[str, Desired]) -> None:
        """Have exactly these connections loaded: now, if charon answers, else when it does.

        A connection that has changed is loaded anew and its SAs are closed; the others notice nothing. Of a
        dial-in server, changed users or name servers disturb nobody but users who are gone.
        """
        with self._lock:
            before, self._desired = self._desired, dict(connections)
            for name in self._diallers.keys() - {
                n for n, item in connections.items() if item == before.get(n)
            }:
                # A connection that has changed is called as if never before.
                del self._diallers[name]
            for name in self._states.keys() - connections.keys():
                del self._states[name]
            for name in self._servers.keys() - connections.keys():
                del self._servers[name]
            if self._loader is None:
                return
            try:
                with self._session() as session:
                    self._load(session, self._loader)
                    self._show_out(session)
            except OSError as error:
                log.info("%s: charon is gone, it is loaded when it is back: %s", self._path.stem, error)
                self._loader = None

    def reload(self) -> None:
        """Have charon read strongswan.conf again, if it runs."""
        with suppress(OSError), self._session() as session:
            session.reload_settings()

    def dial(self, name: str) -> None:
        """Somebody wants an on-demand connection up: call its peer, unless it is being called or paused.

        Where charon does not answer, it is called as soon as it does.
        """
        with self._lock:
            tunnel = calling.followed(self._desired).get(name)
            if tunnel is None or self.states[name].phase is Phase.CONNECTED:
                return
            self._dialler(name).ask()
            if self._loader is None:
                return
            try:
                with self._session() as session:
                    self._call(session, tunnel)
            except OSError as error:
                log.info("%s: charon is gone, it is called when it is back: %s", name, error)

    def watch(self, stop: threading.Event, on_attach: OnAttach, on_look: OnLook) -> None:
        """Stay attached to charon until told to stop.

        Parameters:
            stop: ends the loop within `poll_s`.
            on_attach: called when charon answers, at first and after each of its starts, before anything is
                loaded: its device is new and stands where charon runs.
            on_look: called after each look at the SAs; True if a state has changed.
        """
        started_before = False
        unanswered = 0
        while not stop.is_set():
            try:
                with self._session() as events:
                    on_attach()
                    self._attach(started_before)
                    started_before = True
                    unanswered = 0
                    self._follow(events, stop, on_look)
            except (OSError, SessionException, CommandException) as error:
                if self._loader is not None:
                    log.warning("%s: charon does not answer any more: %s", self._path.stem, error)
                # The latter: as many wait to be heard as the socket takes.
                unanswered = unanswered + 1 if isinstance(error, TimeoutError | BlockingIOError) else 0
                if unanswered == HANGS_AFTER:
                    self._kill()
                    unanswered = 0
                self._leave(stop, on_look)
            except Exception:
                # Whatever it was: without this thread, nobody would look after the connection any more.
                log.exception("%s: not followed", self._path.stem)
                self._leave(stop, on_look)

    def _kill(self) -> None:
        if self._pid:
            log.error("%s: charon, process %d, hangs: killed", self._path.stem, self._pid)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _leave(self, stop: threading.Event, on_look: OnLook) -> None:
        """Begin anew in a moment."""
        try:
            self._detach(on_look)
        except Exception:
            log.exception("%s: not told", self._path.stem)
        stop.wait(RECONNECT_S)

    def _attach(self, started_before: bool) -> None:
        """Load everything into a charon that we have not spoken to yet.

        Raises:
            OSError: it does not answer.
        """
        with self._lock, self._session() as session:
            self._failed.clear()  # A charon that is new counts its IKE_SAs from 1.
            is_new = not session.get_conns().get("conns")
            self._load(session, adopted(session, list(self._desired.values()), self._memory))
            if started_before and is_new:
                # Charon died. The peer would notice after its dead-peer detection only: call it.
                for item in self._desired.values():
                    if not isinstance(item, DialInServer) and item.name not in calling.followed(
                        self._desired
                    ):
                        self._initiate(session, item)

    def _load(self, session: Session, loader: Loader) -> None:
        self._loader = loader
        refused = loader.bring(session, list(self._desired.values()))
        for name, error in refused.items():
            if name in self._dial_in():
                self._servers[name] = replace(self.servers[name], last_error=error)
            else:
                self._states[name] = replace(self.states[name], last_error=error)
        for name in self._dial_in():
            self._servers[name] = self.servers[name].heard(name not in refused, time.time())

    def _show_out(self, session: Session) -> None:
        """Close the SAs of callers who may not stay."""
        sas = [item for entry in session.list_sas() for item in entry.items()]
        for server in self._dial_in().values():
            for connection, sa in sas:
                reason = unwelcome(server, connection, sa) if connection in server.connections else ""
                if reason:
                    log.info("%s: closed: %s", server.name, reason)
                    terminate(session, ike_id=sa["uniqueid"].decode())

    def _dial_in(self) -> Mapping[str, DialInServer]:
        return {name: item for name, item in self._desired.items() if isinstance(item, DialInServer)}

    def _follow(self, events: Session, stop: threading.Event, on_look: OnLook) -> None:
        """Look at the SAs at every event, and at least each `poll_s`."""
        self._look(on_look)
        with closing(events.listen(list(EVENTS), timeout=self._poll_s)) as heard:
            for _ in heard:
                if stop.is_set() or self._loader is None:
                    # In the latter case, what could not be loaded is as if charon were new.
                    return
                self._look(on_look)

    def _look(self, on_look: OnLook) -> None:
        with self._lock, self._session() as session:
            before = self.states, self.servers
            self._note_causes()
            if self._loader and self._loader.waiting:
                self._load(session, self._loader)
            sas: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
            for entry in session.list_sas():
                for name, sa in entry.items():
                    sas[name].append(sa)
            self._update(sas)
            changed = self._differs(*before)
            for name, item in self._desired.items():
                if not isinstance(item, DialInServer) and item.starts_itself and not sas[name]:
                    self._initiate(session, item)
            for tunnel in calling.followed(self._desired).values():
                self._call(session, tunnel)
                if self._dialler(tunnel.name).is_idle(tunnel):
                    log.info("%s: closed after %d s of silence", tunnel.name, tunnel.idle_s)
                    terminate(session, ike=tunnel.name)
            if self._dial_in():
                self._show_out(session)
        self._seen.set()
        on_look(changed)

    def _update(self, sas: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take over what was seen."""
        now = time.time()
        for name, before in self.states.items():
            self._states[name] = observed(before, sas.get(name, ()), now)
        for name, tunnel in calling.followed(self._desired).items():
            self._states[name] = self._dialler(name).look(tunnel, self._states[name])
        for name, server in self._dial_in().items():
            theirs = [sa for connection in server.connections for sa in sas.get(connection, ())]
            self._servers[name] = observed_clients(self.servers[name], theirs, now)

    def _differs(self, states: Mapping[str, TunnelState], servers: Mapping[str, DialInState]) -> bool:
        """Whether more than counters has changed."""
        return any(
            (state.phase, state.last_error) != (states[name].phase, states[name].last_error)
            for name, state in self.states.items()
        ) or any(
            (state.listening, state.clients.keys(), state.last_error)
            != (servers[name].listening, servers[name].clients.keys(), servers[name].last_error)
            for name, state in self.servers.items()
        )

    def _note_causes(self) -> None:
        """Keep the causes that log lines name, each for the connection that it belongs to."""
        for line in self._log.read():
            self._note_cause(line)
            for name, server in self._dial_in().items():
                if line.connection in ("", *server.connections):
                    self._servers[name] = noted(self.servers[name], line, server)

    def _note_cause(self, line: LogLine) -> None:
        """A line that is written before charon knows the connection belongs to all that are not up.

        One failure leaves several lines; the first names the cause best.
        """
        now = time.time() if self._seen.is_set() else None
        for name, state in self.states.items():
            theirs = line.connection not in self._desired and state.phase is not Phase.CONNECTED
            told = state.last_error and line.number and self._failed.get(name) == line.number
            if (name == line.connection or theirs) and not told:
                after = blamed(state, line.text, now)
                if after is not state:
                    self._states[name], self._failed[name] = after, line.number

    def _detach(self, on_look: OnLook) -> None:
        with self._lock:
            self._loader = None
            before = self.states, self.servers
            self._update({})
            for name, state in self.servers.items():
                self._servers[name] = state.heard(False, time.time())
            changed = self._differs(*before)
        on_look(changed)

    def _dialler(self, name: str) -> calling.Dialler:
        return self._diallers.setdefault(name, calling.Dialler())

    def _call(self, session: Session, tunnel: Tunnel) -> None:
        if self._dialler(tunnel.name).take_call(tunnel):
            self._request(session, tunnel.name)

    def _initiate(self, session: Session, item: Tunnel | Caller) -> None:
        now = time.monotonic()
        if now - self._initiated_at.get(item.name, -self._retry_s) < self._retry_s:
            return
        self._initiated_at[item.name] = now
        self._request(session, item.name)

    def _request(self, session: Session, name: str) -> None:
        try:
            session.request("initiate", {"ike": name, "child": name, "timeout": DO_NOT_WAIT})
        except CommandException as error:
            log.info("%s: not initiated: %s", name, error)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A session of its own for each use: an exchange that broke off must not spoil the next.

        Raises:
            OSError: charon does not answer.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REQUEST_TIMEOUT_S)
            connection.connect(str(self._path))
            self._pid = _listener(connection)
            yield Session(connection)


def _listener(connection: socket.socket) -> int:
    """The process at the other end of a Unix socket; 0: of another PID namespace."""
    credentials = struct.Struct("3i")  # struct ucred: pid, uid, gid
    pid, _, _ = credentials.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    )
    return int(pid)

"""Gives one charon what its connections need, and takes away what they no longer need."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

from vici import Session
from vici.exception import CommandException

from lab.ipsec.load import Connection, Load, ViciMessage
from lab.ipsec.memory import Memory, digest

log = logging.getLogger(__name__)

DO_NOT_WAIT = "-1"


class Loader:
    """What one run of charon holds.

    Parameters:
        memory: what charon was given last.
        present: connections that are known to be loaded as desired already, from a run of ours before.
        outdated: names of such that are loaded otherwise than desired.
        pools: names of pools that stand, whatever is in them.
    """

    def __init__(
        self,
        memory: Memory,
        present: Iterable[Load] = (),
        outdated: Iterable[str] = (),
        pools: Iterable[str] = (),
    ) -> None:
        self._memory = memory
        self._connections: dict[str, ViciMessage] = {}
        self._secrets: dict[str, ViciMessage] = {}
        self._pools: dict[str, ViciMessage] = {name: {} for name in pools}
        self._keys: set[str] = set()
        self._waiting = False
        for load in present:
            self._connections.update(load.connections)
        self._connections.update((name, {}) for name in outdated)

    @property
    def waiting(self) -> bool:
        """Whether something could not be changed yet, because callers that are being closed still use it."""
        return self._waiting

    def bring(self, session: Session, wanted: Collection[Connection]) -> dict[str, str]:
        """Have exactly these loaded. SAs of a connection that goes, or that has changed, are closed.

        Returns: why charon refuses a connection, by name; the others are loaded all the same.

        Raises:
            OSError: charon does not answer.
        """
        loads = {item.name: item.load() for item in wanted}
        self._waiting = False
        self._remove(session, list(loads.values()))
        refused: dict[str, str] = {}
        for name, load in loads.items():
            try:
                self._bring(session, load)
            except CommandException as error:
                log.error("%s: charon refuses the connection: %s", name, error)
                refused[name] = str(error)
        # Afterwards: who is killed before takes what it did for not done, and does it again.
        try:
            self._memory.keep({name: digest(load) for name, load in loads.items() if name not in refused})
        except OSError as error:
            log.warning("not remembered, so the agent after this one will close the SAs: %s", error)
        return refused

    def _remove(self, session: Session, loads: Collection[Load]) -> None:
        for name in self._connections.keys() - {name for load in loads for name in load.connections}:
            session.unload_conn({"name": name})
            terminate(session, ike=name)
            del self._connections[name]
        for secret in self._secrets.keys() - {secret for load in loads for secret in load.shared}:
            session.unload_shared({"id": secret})
            del self._secrets[secret]
        for pool in self._pools.keys() - {pool for load in loads for pool in load.pools}:
            try:
                session.unload_pool({"name": pool})
            except CommandException as error:
                log.info("%s: %s", pool, error)
                self._waiting = True
            else:
                del self._pools[pool]

    def _bring(self, session: Session, load: Load) -> None:
        for key in load.keys:
            if key not in self._keys:
                session.load_key({"type": "any", "data": key})
                self._keys.add(key)
        outdated = False
        for secret, message in load.shared.items():
            before = self._secrets.get(secret)
            if before != message:
                session.load_shared(message)
                self._secrets[secret] = message
                outdated |= before is not None and secret in load.secrets
        for pool, settings in load.pools.items():
            if self._pools.get(pool) != settings:
                self._load_pool(session, pool, settings, load.connections)
        for name, settings in load.connections.items():
            before = self._connections.get(name)
            if before != settings:
                session.load_conn({name: settings})
                self._connections[name] = settings
                outdated |= before is not None
        if outdated:
            # charon tries certificates that it remembers, too: of one that was exchanged, the wrong reason.
            session.flush_certs()
            for name in load.connections:
                terminate(session, ike=name)

    def _load_pool(
        self, session: Session, name: str, settings: ViciMessage, users: Mapping[str, ViciMessage]
    ) -> None:
        """A pool with other addresses wants its callers gone: they call again, and get addresses of it."""
        try:
            session.load_pool({name: settings})
        except CommandException as error:
            if name not in self._pools:
                raise
            log.info("%s: its callers are asked to call again: %s", name, error)
            for connection, of_it in users.items():
                if name in of_it.get("pools", ()):
                    terminate(session, ike=connection)
            self._waiting = True
        else:
            self._pools[name] = settings


def adopted(session: Session, wanted: Collection[Connection], memory: Memory) -> Loader:
    """A loader for a charon that we have not spoken to yet; what an earlier run left, and nobody wants, goes.

    A connection with a start_action that is loaded again would close its SAs: it counts as loaded, if it is
    what charon was given last. Of all that has changed since, the SAs are closed.

    Raises:
        OSError: charon does not answer.
    """
    known = {name.decode() for name in session.get_conns().get("conns", [])}
    loads = {item.name: item.load() for item in wanted}
    for name in known - {name for load in loads.values() for name in load.connections}:
        session.unload_conn({"name": name})
        terminate(session, ike=name)
    secrets = {name.decode() for name in session.get_shared().get("keys", [])}
    for secret in secrets - {secret for load in loads.values() for secret in load.shared}:
        session.unload_shared({"id": secret})
    same = {name for name, load in loads.items() if memory.kept.get(name) == digest(load)}
    return Loader(
        memory,
        (
            loads[item.name]
            for item in wanted
            if item.name in same and item.starts_itself and loads[item.name].connections.keys() <= known
        ),
        (name for item in loads.keys() - same for name in loads[item].connections.keys() & known),
        session.get_pools(),
    )


def terminate(session: Session, **which: str) -> None:
    """Close SAs; that there were none is no error.

    Parameters:
        which: "ike", a connection's name, or "ike_id", an IKE_SA's unique id.
    """
    message: Mapping[str, str] = {key.replace("_", "-"): value for key, value in which.items()}
    try:
        session.request("terminate", {**message, "force": "yes", "timeout": DO_NOT_WAIT})
    except CommandException as error:
        log.debug("%s: %s", which, error)

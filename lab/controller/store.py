"""Where the controller's state lives between runs.

Three things are kept: the documents (what clients want), the allocations (what the controller gave out and
must give out again) and the observations (what the gateways last reported, so that a restarted controller
compiles the same goal state before any agent is back and forwarding goes on undisturbed).

`Store` is the whole interface. A commit is atomic, compares the document's entity tag before it changes
anything, and is on disk when it returns: what the API has acknowledged survives SIGKILL and the loss of
power.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    key TEXT PRIMARY KEY, etag TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS allocation (
    kind TEXT NOT NULL, owner TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, owner)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS observation (
    rdid TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""


class StaleEtagError(Exception):
    """Someone else changed the document in between; nothing of the commit has happened."""


class StoreVersionError(Exception):
    """The file was written by a newer controller."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as it lies in the store: its entity tag and its body as JSON, secrets included."""

    etag: str
    body: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything in a store. Allocations are by (kind, owner), observations by routing domain."""

    documents: Mapping[str, StoredDocument]
    allocations: Mapping[tuple[str, str], str]
    observations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change.

    Attributes:
        key: document that changes; empty when none does.
        expected_etag: what it must be at; empty: it must not exist.
        document: what it becomes; None: it goes.
        allocations: new values by (kind, owner); None frees.
        observations: new bodies by routing domain; None forgets.
    """

    key: str = ""
    expected_etag: str = ""
    document: StoredDocument | None = None
    allocations: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    observations: Mapping[str, str | None] = field(default_factory=dict)


class Store(Protocol):
    """What the controller needs of a store; a replicated one can stand behind it."""

    def load(self) -> Contents:
        """Everything."""

    def commit(self, commit: Commit) -> None:
        """Carry out one change, durably.

        Raises:
            StaleEtagError: the document is not at the expected entity tag.
        """

    def close(self) -> None:
        """Let go of the store."""


class SqliteStore:
    """A store in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            StoreVersionError: the file is of a newer schema.
        """
        # It holds secrets; SQLite gives the files beside it the same mode.
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL would lose the last commits with the machine's power.
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            self._db.close()
            raise StoreVersionError(f"{path} has schema {version}, this controller knows {SCHEMA_VERSION}")
        self._db.executescript(_SCHEMA + f"PRAGMA user_version = {SCHEMA_VERSION};")

    def load(self) -> Contents:
        """Everything in the file."""
        rows = self._db.execute
        return Contents(
            {
                key: StoredDocument(etag, body)
                for key, etag, body in rows("SELECT key, etag, body FROM document")
            },
            {
                (kind, owner): value
                for kind, owner, value in rows("SELECT kind, owner, value FROM allocation")
            },
            dict(rows("SELECT rdid, body FROM observation").fetchall()),
        )

    def commit(self, commit: Commit) -> None:
        """Carry out one change; it is on disk when this returns.

        Raises:
            StaleEtagError: the document is not at the expected entity tag.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if commit.key:
                self._write_document(commit)
            self._write_allocations(commit.allocations)
            self._write_observations(commit.observations)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _write_document(self, commit: Commit) -> None:
        found = self._db.execute("SELECT etag FROM document WHERE key = ?", (commit.key,)).fetchone()
        if (found[0] if found else "") != commit.expected_etag:
            raise StaleEtagError(commit.key)
        if commit.document is None:
            self._db.execute("DELETE FROM document WHERE key = ?", (commit.key,))
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO document VALUES (?, ?, ?)",
                (commit.key, commit.document.etag, commit.document.body),
            )

    def _write_allocations(self, allocations: Mapping[tuple[str, str], str | None]) -> None:
        for (kind, owner), value in allocations.items():
            if value is None:
                self._db.execute("DELETE FROM allocation WHERE kind = ? AND owner = ?", (kind, owner))
            else:
                self._db.execute("INSERT OR REPLACE INTO allocation VALUES (?, ?, ?)", (kind, owner, value))

    def _write_observations(self, observations: Mapping[str, str | None]) -> None:
        for rdid, body in observations.items():
            if body is None:
                self._db.execute("DELETE FROM observation WHERE rdid = ?", (rdid,))
            else:
                self._db.execute("INSERT OR REPLACE INTO observation VALUES (?, ?)", (rdid, body))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

"""What one charon is given by VICI for a connection. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

ViciMessage = dict[str, "str | list[str] | ViciMessage"]


@dataclass(frozen=True, slots=True)
class Load:
    """Everything that charon must hold so that a connection works.

    Attributes:
        connections: settings of load-conn by name. Who calls with one authentication method and who calls
            with another are two connections to charon, though one to the product.
        secrets: messages of load-shared by their id; who changes one means that its SAs be closed.
        users: the same for those who call; changing one closes nothing.
        pools: settings of load-pool by name.
        keys: private keys, PEM. Which is used follows from the certificates that a connection names; those,
            and the authorities that it trusts, come with the connection.
    """

    connections: Mapping[str, ViciMessage]
    secrets: Mapping[str, ViciMessage] = field(default_factory=dict)
    users: Mapping[str, ViciMessage] = field(default_factory=dict)
    pools: Mapping[str, ViciMessage] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    @property
    def shared(self) -> Mapping[str, ViciMessage]:
        """All messages of load-shared."""
        return {**self.secrets, **self.users}


class Connection(Protocol):
    """A connection in the product's sense, of whichever kind."""

    @property
    def name(self) -> str:
        """Of the connection."""

    @property
    def starts_itself(self) -> bool:
        """Whether charon calls as soon as it holds the connection: loaded again, it would call again."""

    def load(self) -> Load:
        """What charon must hold."""

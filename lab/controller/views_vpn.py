"""What the API answers about remote access: the configuration, and who is connected (read-only fields)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lab.controller.models_vpn import VpnConfiguration
from lab.controller.observations import ConnectionObservation, Observation
from lab.model.connections import DIAL_IN

NOTHING = ConnectionObservation("Disconnected")


def vpn_json(wanted: VpnConfiguration, seen: Observation | None) -> dict[str, Any]:
    """A vpnConfiguration as a GET answers it. Octets are counted from and to the callers.

    Args:
        wanted: as the client wants it; secrets are left out.
        seen: the compartment as its gateway reports it, if it does.
    """
    state = seen.connections.get(DIAL_IN, NOTHING) if seen else NOTHING
    clients = [
        {
            "userName": client.user,
            "ipAddress": client.address,
            "sourceIPAddress": client.source,
            "connectedSince": datetime.fromtimestamp(client.since_unix_s, UTC).isoformat(),
            "statistics": {"outboundBytes": client.bytes_out, "inboundBytes": client.bytes_in},
        }
        for client in sorted(state.clients, key=lambda client: (client.user, client.address))
    ]
    return {
        **wanted.model_dump(mode="json", by_alias=True, exclude_none=True),
        "connectionState": state.state,
        "connectionErrorReason": state.last_error,
        "statistics": {"outboundBytes": state.bytes_out, "inboundBytes": state.bytes_in},
        "vpnClients": clients,
    }

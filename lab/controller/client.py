"""A client of the Network Controller's northbound API, for the CLI, the checks and the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from lab.errors import LabError, Problem
from lab.model.connections import DIAL_IN

TIMEOUT_S = 30.0
"""How long one request may take."""
RETRY_FOR_S = 5.0
"""How long a controller that cannot be reached is tried again; what it has answered is never tried again."""

Json = dict[str, Any]


class ControllerError(LabError):
    """The Network Controller has refused a request.

    Attributes:
        status: HTTP status.
        body: Microsoft's error body.
    """

    def __init__(self, problems: Problem | list[Problem], status: int, body: Json) -> None:
        super().__init__(problems)
        self.status = status
        self.body = body


class InvalidResourceError(ControllerError):
    """The resource cannot be as it was sent (400)."""


class NotAuthorizedError(ControllerError):
    """The token is not the controller's (401)."""


class ResourceNotFoundError(ControllerError):
    """There is no such resource (404)."""


class ResourceInUseError(ControllerError):
    """Others refer to the resource (409)."""


class StaleResourceError(ControllerError):
    """The resource has changed since it was read, or its parent is missing (412)."""


class ControllerUnreachableError(LabError):
    """The Network Controller does not answer."""


_REFUSALS: Mapping[int, tuple[type[ControllerError], str, str]] = {
    400: (InvalidResourceError, "HNV-NC-400", ""),
    401: (
        NotAuthorizedError,
        "HNV-NC-401",
        "use the token in /etc/hnvlab/token of the controller's container",
    ),
    404: (ResourceNotFoundError, "HNV-NC-404", ""),
    409: (ResourceInUseError, "HNV-NC-409", "remove what refers to it first"),
    412: (StaleResourceError, "HNV-NC-412", "read the resource again; PUT parents before children"),
}
_OTHER = (ControllerError, "HNV-NC-500", "look at the controller's log: hnvlab logs nc")


_NO_ANSWER = (
    requests.ConnectionError,
    requests.Timeout,
    # The controller died in the middle of its answer.
    requests.exceptions.ChunkedEncodingError,
)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A host or gateway as the controller sees it.

    Attributes:
        name: node name.
        kind: "host" or "gateway".
        status: configurationState: "Success", "InProgress", "Warning", "Failure" or "Uninitialized".
        code: code of its first detail, such as "HostNotConnectedToController".
        message: text of its first detail.
        provider_address: its PA; empty while it has none.
    """

    name: str
    kind: str
    status: str
    code: str
    message: str
    provider_address: str


@dataclass(frozen=True, slots=True)
class TenantLink:
    """A connection or a BGP peer of a tenant.

    Attributes:
        tenant: resourceId of the virtual gateway.
        name: resourceId of the networkConnection or bgpPeer.
        state: "Connected", "Connecting", "Disconnected" or "Stopped".
        error: why it is not connected, as the gateway says it.
    """

    tenant: str
    name: str
    state: str
    error: str


@dataclass(frozen=True, slots=True)
class VpnClient:
    """A road warrior who is connected.

    Attributes:
        tenant: resourceId of the virtual gateway.
        user: name that he authenticated with; of a certificate, its subject.
        address: out of the tenant's pool.
        source: public address that he calls from.
        since: ISO 8601.
        bytes_in, bytes_out: from him, and to him.
    """

    tenant: str
    user: str
    address: str
    source: str
    since: str
    bytes_in: int
    bytes_out: int


class ControllerClient:
    """Talks to one Network Controller. Usable as a context manager."""

    def __init__(self, url: str, ca_path: Path | str, token: str, retry_for_s: float = RETRY_FOR_S) -> None:
        """Nothing is sent yet.

        Args:
            url: of the controller, `https://ADDRESS:PORT`.
            ca_path: certificate of the lab's authority.
            token: bearer token.
            retry_for_s: how long to keep trying while the controller cannot be reached.
        """
        self._url = url.rstrip("/") + "/networking/v1"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca_path)
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._retry_for_s = retry_for_s

    def __enter__(self) -> ControllerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def get(self, path: str) -> Json:
        """A resource by its path: `/virtualNetworks/blue`.

        Raises:
            ControllerError: the controller refuses; ResourceNotFoundError: it is not there.
            ControllerUnreachableError: the controller does not answer.
        """
        return self._json("GET", path)

    def list(self, path: str) -> list[Json]:
        """All resources of a collection: `/servers`.

        Raises:
            ControllerError: the controller refuses.
            ControllerUnreachableError: the controller does not answer.
        """
        value = self._json("GET", path).get("value", [])
        return list(value)

    def put(self, path: str, body: Mapping[str, Any], if_match: str | None = None) -> Json:
        """Create or replace a resource, and return it as it is now.

        Args:
            path: of the resource.
            body: `{"properties": {...}}`.
            if_match: entity tag that it must still have.

        Raises:
            ControllerError: the controller refuses; nothing has changed.
            ControllerUnreachableError: the controller does not answer.
        """
        headers = {"If-Match": if_match} if if_match else {}
        return self._json("PUT", path, body, headers)

    def delete(self, path: str) -> bool:
        """Remove a resource; False if it was not there.

        Raises:
            ControllerError: the controller refuses; ResourceInUseError: others refer to it.
            ControllerUnreachableError: the controller does not answer.
        """
        return self._send("DELETE", path).status_code != HTTPStatus.NO_CONTENT

    def goal_state(self, node: str) -> Json:
        """What a node is to know: `version`, `acknowledged`, `connected` and `records`, without secrets.

        Raises:
            ResourceNotFoundError: there is no such node.
        """
        return self.get(f"/diagnostics/goalStates/{quote(node, safe='')}")

    def node_states(self) -> dict[str, NodeStatus]:
        """The state of every host and gateway, by name."""
        resources = [("host", r) for r in self.list("/servers")]
        resources += [("gateway", r) for r in self.list("/gateways")]
        return {resource["resourceId"]: _node_status(kind, resource) for kind, resource in resources}

    def connection_states(self) -> tuple[TenantLink, ...]:
        """Every connection of every tenant, remote access among them."""
        return tuple(
            _link(gateway, connection)
            for gateway in self.list("/virtualGateways")
            for connection in (*gateway["properties"]["networkConnections"], *_remote_access(gateway))
        )

    def vpn_clients(self) -> tuple[VpnClient, ...]:
        """Every road warrior who is connected."""
        return tuple(
            VpnClient(
                tenant=gateway["resourceId"],
                user=client["userName"],
                address=client["ipAddress"],
                source=client["sourceIPAddress"],
                since=client["connectedSince"],
                bytes_in=client["statistics"]["inboundBytes"],
                bytes_out=client["statistics"]["outboundBytes"],
            )
            for gateway in self.list("/virtualGateways")
            for access in _remote_access(gateway)
            for client in access["properties"]["vpnClients"]
        )

    def peer_states(self) -> tuple[TenantLink, ...]:
        """Every BGP peer of every tenant."""
        return tuple(
            _link(gateway, peer)
            for gateway in self.list("/virtualGateways")
            for router in gateway["properties"]["bgpRouters"]
            for peer in router["properties"]["bgpPeers"]
        )

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        result: Json = self._send(method, path, body, headers).json()
        return result

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        # Every verb of this API can be sent again: PUT and DELETE say what is to be, not what to do.
        attempts = Retrying(
            stop=stop_after_delay(self._retry_for_s),
            wait=wait_exponential(multiplier=0.05, max=1),
            retry=retry_if_exception_type(_NO_ANSWER),
            reraise=True,
        )
        url = f"{self._url}/{path.strip('/')}"
        try:
            response = attempts(
                self._session.request, method, url, json=body, headers=headers, timeout=TIMEOUT_S
            )
        except _NO_ANSWER as error:
            raise ControllerUnreachableError(
                Problem(
                    code="HNV-NC-001",
                    message=f"the Network Controller does not answer: {error}",
                    place=url,
                    hint="look whether it runs: hnvlab status, and its log: hnvlab logs nc",
                )
            ) from error
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise _refusal(method, path, response)
        return response


def _refusal(method: str, path: str, response: requests.Response) -> ControllerError:
    kind, code, hint = _REFUSALS.get(response.status_code, _OTHER)
    try:
        body: Json = response.json()
        entries = body["error"]["details"]
    except (ValueError, KeyError, TypeError):
        body, entries = {}, [{"message": response.text[:500] or response.reason}]
    place = f"{method} {path}"
    problems = [
        Problem(
            code=code,
            message=entry["message"],
            place=f"{place} ({entry['target']})" if entry.get("target") else place,
            hint=hint,
        )
        for entry in entries
    ]
    return kind(problems, response.status_code, body)


def _node_status(kind: str, resource: Json) -> NodeStatus:
    properties = resource["properties"]
    state = properties.get("configurationState", {})
    first: Json = next(iter(state.get("detailedInfo", [])), {})
    return NodeStatus(
        name=resource["resourceId"],
        kind=kind,
        status=state.get("status", "Uninitialized"),
        code=first.get("code", ""),
        message=first.get("message", ""),
        provider_address=properties.get("providerAddress", ""),
    )


def _remote_access(gateway: Json) -> tuple[Json, ...]:
    """A virtual gateway's vpnConfiguration in the form of a connection; none: it has none."""
    found = gateway["properties"].get("vpnConfiguration")
    return ({"resourceId": DIAL_IN, "properties": found},) if found else ()


def _link(gateway: Json, resource: Json) -> TenantLink:
    """A link's own error; without one, why its gateway is none."""
    properties = resource["properties"]
    configured = gateway["properties"].get("configurationState", {})
    reasons = [item["message"] for item in configured.get("detailedInfo", ())]
    whole = reasons[0] if configured.get("status") == "Failure" and reasons else ""
    return TenantLink(
        tenant=gateway["resourceId"],
        name=resource["resourceId"],
        state=properties["connectionState"],
        error=properties.get("connectionErrorReason") or whole,
    )

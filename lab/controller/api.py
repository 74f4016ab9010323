"""The northbound REST API: HTTP in, `Controller` calls, JSON out.

Conventions of MS-NCNBI §2.2 as Microsoft's clients rely on them:

- PUT creates (201) or replaces (200), GET of a collection answers `{"value": [...], "nextLink": ""}`, DELETE
  answers 200, or 204 when there was nothing. POST is not used.
- `If-Match` is optional; if it is there and stale, 412. Every answer about a resource carries its `ETag`.
- Every answer carries `x-ms-request-id`; `x-ms-client-request-id` is echoed when the client asks for it.
- Authentication is a bearer token. Only the documentation pages are open.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from lab.controller import openapi
from lab.controller.catalog import Path, children, parse_path
from lab.controller.controller import Controller
from lab.controller.refusals import Complaint, Refused, malformed, not_found
from lab.controller.shapes import Resource
from lab.controller.views import render, render_goal_state

OPEN_PATHS = ("/docs", "/openapi.json")
MAX_BODY_BYTES = 16 * 1024 * 1024
"""Of one request: a virtual network with tens of thousands of subnets fits."""
_CANONICAL = {name.lower(): name for name in ("internalResourceInstances", "diagnostics", "goalStates")}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Api(FastAPI):
    """FastAPI whose OpenAPI document comes from the resource table."""

    def openapi(self) -> dict[str, Any]:
        return openapi.document(self.version)


class Conventions:
    """ASGI middleware: authentication, request ids, and paths in any letter case."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], token: str) -> None:
        if not token:
            raise ValueError("an empty token would let everyone in")
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        extra = [(b"x-ms-request-id", str(uuid4()).encode())]
        if headers.get(b"x-ms-return-client-request-id", b"").lower() == b"true":
            extra.append((b"x-ms-client-request-id", headers.get(b"x-ms-client-request-id", b"")))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        if scope["path"] not in OPEN_PATHS and not self._authentic(headers.get(b"authorization", b"")):
            refusal = Refused(
                401, Complaint("Unauthorized", "A valid bearer token is required.", "Authorization")
            )
            response = _refusal(refusal)
            response.headers["WWW-Authenticate"] = "Bearer"
            await response(scope, receive, answer)
            return
        await self._app({**scope, "path": _canonical(scope["path"])}, receive, answer)

    def _authentic(self, given: bytes) -> bool:
        scheme, _, token = given.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token, self._token)


def _canonical(path: str) -> str:
    """The fixed words of a path in the spelling that the routes have."""
    parts = path.split("/")
    parts[1:3] = [part.lower() for part in parts[1:3]]
    parts[3:5] = [_CANONICAL.get(part.lower(), part) for part in parts[3:5]]
    return "/".join(parts)


def _refusal(refused: Refused) -> JSONResponse:
    return JSONResponse(refused.to_json(), refused.status)


async def _answer_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _refusal(error)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(Refused(error.status_code, Complaint("InvalidRequest", str(error.detail))))


async def _answer_fault(_request: Request, error: Exception) -> Response:
    """A fault of our own; the server logs its traceback."""
    message = f"The controller has failed: {error!r}. Nothing is known to have changed; see its log."
    return _refusal(Refused(500, Complaint("InternalServerError", message)))


def create_app(controller: Controller, token: str, version: str = "1") -> Conventions:
    """The ASGI application.

    Args:
        controller: what it serves.
        token: what clients must present.
        version: of the software, for the documentation page.

    Raises:
        ValueError: the token is empty.
    """
    app = _Api(title="hnvlab Network Controller", version=version, redoc_url=None)

    app.add_exception_handler(Refused, _answer_refused)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_fault)

    @app.get("/networking/discovery", include_in_schema=False)
    async def discovery() -> dict[str, Any]:
        versions = {"minRestVersion": "v1", "currentRestVersion": "v1"}
        return {"resourceRef": "/discovery", "properties": versions}

    @app.get("/networking/v1/internalResourceInstances/{guid}", include_in_schema=False)
    async def instance(guid: str) -> Response:
        found = controller.inventory.instance(guid)
        if found is None:
            raise not_found(f"/internalResourceInstances/{guid}")
        return _resource(*found, controller)

    @app.get("/networking/v1/diagnostics/goalStates/{node}", include_in_schema=False)
    async def goal_state(node: str) -> dict[str, Any]:
        found = controller.fleet.node(node)
        if found is None:
            raise not_found(f"/diagnostics/goalStates/{node}")
        return render_goal_state(found, controller)

    @app.get("/networking/v1/{path:path}", include_in_schema=False)
    async def read(path: str) -> Response:
        return _read(_path(path), controller)

    @app.put("/networking/v1/{path:path}", include_in_schema=False)
    async def put(path: str, request: Request) -> Response:
        at = _resource_path(path)
        resource = _parse(at, await _body(request))
        written = controller.put(at, resource, request.headers.get("if-match"))
        found = controller.inventory.find(written.path)
        assert found is not None
        return _resource(*found, controller, 201 if written.created else 200)

    @app.delete("/networking/v1/{path:path}", include_in_schema=False)
    async def delete(path: str, request: Request) -> Response:
        removed = controller.delete(_resource_path(path), request.headers.get("if-match"))
        return Response(status_code=200 if removed else 204)

    return Conventions(app, token)


def _path(text: str) -> Path:
    path = parse_path(text)
    if path is None:
        raise not_found(f"/{text}")
    return path


def _resource_path(text: str) -> Path:
    path = _path(text)
    if path.is_collection:
        raise Refused(405, Complaint("MethodNotAllowed", "A collection can only be read.", path.ref))
    return path


def _read(path: Path, controller: Controller) -> Response:
    if not path.is_collection:
        found = controller.inventory.find(path)
        if found is None:
            raise not_found(path.ref)
        return _resource(*found, controller)
    if len(path.collections) == 1:
        items = controller.inventory.all(path.collection)
    else:
        above = Path(path.collections[:-1], path.ids)
        parent = controller.inventory.find(above)
        if parent is None:
            raise not_found(above.ref)
        items = [(p, child) for p, child in children(*parent) if p.collection is path.collection]
    value = [render(at, item, controller) for at, item in items]
    return JSONResponse({"value": value, "nextLink": ""})


def _resource(path: Path, resource: Resource[Any], controller: Controller, status: int = 200) -> Response:
    body = render(path, resource, controller)
    return JSONResponse(body, status, headers={"ETag": body["etag"]})


async def _body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        Refused: 413; the rest is not read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            message = f"A body has at most {MAX_BODY_BYTES} bytes."
            raise Refused(413, Complaint("RequestEntityTooLarge", message, "body"))
    return bytes(body)


def _parse(path: Path, body: bytes) -> Resource[Any]:
    """Read a body as a resource of the path's type; its id is the path's.

    Raises:
        Refused: 400.
    """
    try:
        # Stricter than the standard library's: no NaN, no half characters, no depth that exhausts the stack.
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, Complaint("InvalidJson", f"The body is no JSON: {error}.", "body")) from None
    if not isinstance(data, dict):
        raise Refused(400, Complaint("InvalidJson", "The body is no JSON object.", "body"))
    given = next((value for key, value in data.items() if key.lower() == "resourceid"), None)
    if given and str(given).lower() != path.ids[-1].lower():
        message = f"'{given}' is not the resourceId of the path, '{path.ids[-1]}'."
        raise Refused(400, Complaint("InvalidParameterValue", message, "resourceId"))
    data = {key: value for key, value in data.items() if key.lower() != "resourceid"}
    try:
        return path.collection.model.model_validate({**data, "resourceId": path.ids[-1]})
    except ValidationError as error:
        raise malformed(error) from None

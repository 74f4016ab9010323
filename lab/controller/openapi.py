"""The OpenAPI document, made from the table of resource types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from lab.controller.catalog import TOP_LEVEL, Collection

PREFIX = "/networking/v1"
_SCHEMAS = "#/components/schemas/"


def document(version: str) -> dict[str, Any]:
    """The whole document.

    Args:
        version: of the software, for the title.
    """
    models = sorted({c.model for _, c in _paths()}, key=lambda model: model.__name__)
    names, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_SCHEMAS + "{model}"
    )
    references = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, Any] = {}
    for path, collection in _paths():
        parent = [_id_parameter(part) for part in path.split("/") if part.startswith("{")]
        paths[PREFIX + path] = {"get": _operation(collection, "List", parent), "parameters": parent}
        paths[f"{PREFIX}{path}/{{{collection.segment}Id}}"] = {
            "parameters": [*parent, _id_parameter(f"{{{collection.segment}Id}}")],
            "get": _operation(collection, "Read", parent),
            "put": _operation(collection, "Create or replace", parent) | _body(references[collection.model]),
            "delete": _operation(collection, "Delete", parent),
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "hnvlab Network Controller", "version": version},
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> Iterator[tuple[str, Collection[Any]]]:
    def below(prefix: str, collection: Collection[Any]) -> Iterator[tuple[str, Collection[Any]]]:
        path = f"{prefix}/{collection.segment}"
        yield path, collection
        for child in collection.children:
            yield from below(f"{path}/{{{collection.segment}Id}}", child)

    for collection in TOP_LEVEL:
        yield from below("", collection)


def _id_parameter(part: str) -> dict[str, Any]:
    return {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}


def _operation(collection: Collection[Any], verb: str, parent: list[dict[str, Any]]) -> dict[str, Any]:
    path = [p["name"].removesuffix("Id") for p in parent] + [collection.segment]
    responses = {"200": {"description": "done"}, "default": {"description": "Microsoft's error shape"}}
    return {"summary": f"{verb} {'/'.join(path)}", "tags": [path[0]], "responses": responses}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

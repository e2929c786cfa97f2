"""Holds JSON that the program wrote against its schema, which has to know every key of it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from website import formats


def check_form(name: str, found: Any) -> None:
    """Fails where a file, or its content, is in another form than NAME.schema.json or has keys that it does not list.

    NaN and infinity, which Python writes, are no JSON.
    """
    if isinstance(found, Path):
        found = json.loads(found.read_text("utf-8"), parse_constant=refuse)
    errors = [
        f"{e.json_path}: {e.message[:300]}" for e in closed_validator(name).iter_errors(found)
    ]
    assert errors == []


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@functools.cache
def closed_validator(name: str) -> Any:
    schemas = {file: closed(json.loads(text)) for file, text in formats.schemas().items()}
    resources = [(file, DRAFT202012.create_resource(one)) for file, one in schemas.items()]
    registry: Registry[Any] = Registry().with_resources(resources)
    return jsonschema.Draft202012Validator(schemas[f"{name}.schema.json"], registry=registry)


def closed(schema: Any) -> Any:
    """The schema, with objects that have the listed keys alone."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        found.setdefault("additionalProperties", False)
    return found

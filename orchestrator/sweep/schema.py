"""The JSON Schema of a sweep file, for editors that complete and check."""

from __future__ import annotations

from typing import Any

from orchestrator.sweep.file import Placement
from orchestrator.sweep.trial import Trial

_PATH = {"type": "string", "pattern": r"^[\w-]+(\.[\w-]+)*$"}
_RANGE = {
    "type": "object",
    "properties": {
        "range": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
    },
    "required": ["range"],
    "additionalProperties": False,
}
_DISTRIBUTION = {
    "type": "object",
    "properties": {
        name: {"type": "array", "minItems": 1}
        for name in ("uniform", "log_uniform", "normal", "integers", "choice")
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_ITEM = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "samples": {"type": "integer", "minimum": 1},
        "cases": {"type": "object", "additionalProperties": {"type": ["object", "null"]}},
    },
    "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, _RANGE, _DISTRIBUTION]},
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a sweep file; what only a plan can know is not in it.

    Example:
        >>> json_schema()["required"]
        ['name', 'base']
    """
    definitions: dict[str, Any] = {}
    base, placement = (_hoisted(model.model_json_schema(), definitions) for model in (Trial, Placement))
    updates = base["properties"]["updates"]
    updates["items"] = {"anyOf": [{"type": "null"}, updates["items"]]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "orchestrator sweep",
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
            "sampling_seed": {"type": "integer", "minimum": 0},
            "base": base,
            "sweep": {"type": "array", "items": _ITEM},
            "placement": placement,
        },
        "required": ["name", "base"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _hoisted(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without its own definitions, which move up beside those of the others."""
    definitions |= schema.pop("$defs", {})
    return schema

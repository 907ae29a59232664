"""The JSON Schema of a sweep file, for editors that complete and check."""

from __future__ import annotations

from typing import Any

from orchestrator.sweep.draws import DISTRIBUTIONS
from orchestrator.sweep.file import SweepFile
from orchestrator.trial.trial import Trial

_INTEGER = {"type": "integer"}
_RANGE = {
    "type": "object",
    "properties": {
        "range": {"anyOf": [_INTEGER, {"type": "array", "items": _INTEGER, "minItems": 1, "maxItems": 3}]}
    },
    "required": ["range"],
    "additionalProperties": False,
}
_DISTRIBUTION = {
    "type": "object",
    "properties": {name: {"type": "array", "minItems": 1} for name in DISTRIBUTIONS},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_CASE = {
    "type": ["object", "null"],
    "description": "what this case changes, by dotted path; `sweep` holds axes of its own",
    "properties": {"sweep": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
}
_ITEM = {
    "type": "object",
    "description": "dotted paths and their values: items multiply, keys inside one item advance together",
    "minProperties": 1,
    "properties": {
        "samples": {"type": "integer", "minimum": 1},
        "cases": {"type": "object", "minProperties": 1, "additionalProperties": _CASE},
    },
    "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, _RANGE, _DISTRIBUTION]},
}


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a sweep file, without the checks that need a plan.

    Example:
        >>> json_schema()["required"]
        ['name', 'base']
    """
    schema, base = SweepFile.model_json_schema(), Trial.model_json_schema()
    definitions = {**schema.pop("$defs"), **base.pop("$defs"), "item": _ITEM}
    updates, _ = base["properties"]["updates"]["anyOf"]
    updates["items"] = {"anyOf": [{"type": "null"}, updates["items"]]}
    schema["properties"] |= {"base": base, "sweep": {"type": "array", "items": {"$ref": "#/$defs/item"}}}
    schema |= {
        "title": "orchestrator sweep",
        "description": "a base trial and the axes along which it varies",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}

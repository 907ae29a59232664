"""The faults of a configuration as (path, message), with the legal values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from orchestrator.config.base import Config, ConfigError
from orchestrator.config.families import discover
from orchestrator.config.text import show, suggest

UNKNOWN_KEY = "unknown key"
"""Start of the message of a fault in a key, not in its value."""


def explain(error: ConfigError, root: type[Config]) -> list[tuple[tuple[str | int, ...], str]]:
    """Returns the faults of a failed ``root.parse`` as (path, message), with the legal values.

    The first ``_MOST_EXPLAINED`` faults are explained, the others are counted.
    """
    items = [item for item in error.errors(include_url=False) if not _is_consequence(item)]
    found = [_explain_fault(item, root) for item in items[:_MOST_EXPLAINED]]
    if more := len(items) - len(found):
        found.append((_explain_fault(items[len(found)], root)[0], f"… and {more:,} more faults like these"))
    return found


_MOST_EXPLAINED = 50
"""Searching for similar names takes about 0.1 ms per fault."""


def _is_consequence(item: ErrorDetails) -> bool:
    """Returns whether a list counts as too short only because some of its items are faulty."""
    return item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]


def _explain_fault(item: ErrorDetails, root: type[Config]) -> tuple[tuple[str | int, ...], str]:
    path, config = _document_path(item["loc"], root)
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return path, UNKNOWN_KEY + suggest(str(path[-1]), config.model_fields)
    if kind == "missing":
        return path, "is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key, message = _explain_tag(value, config)
        return (*path, *key), message
    if kind == "literal_error":
        return path, f"is {show(value)}" + suggest(
            str(value), re.split(", | or ", context["expected"].replace("'", ""))
        )
    if kind == "refused":
        return path, item["msg"]
    if kind in _LEGAL:
        bounds = {name: show(bound).removesuffix(".0") for name, bound in context.items()}
        return path, f"is {show(value)}, must be {_LEGAL[kind].format(**bounds)}"
    return path, f"is {show(value)}: {item['msg']}"


_LEGAL = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} character(s)",
}
"""The legal values, by pydantic's type of error."""


def _explain_tag(value: Any, family: type[Config]) -> tuple[tuple[str, ...], str]:
    """Returns the fault of the key that names a member of a family: its path in ``value``, and a message."""
    if not isinstance(value, Mapping):
        return (), f"is {show(value)}, must be a mapping with the key {' or '.join(family.tags)}"
    named = [tag for tag in family.tags if value.get(tag) is not None]
    legal = {
        tag: [_tag_name(name) for name in discover(family) if name.startswith(f"{tag}=") and "+" not in name]
        for tag in family.tags
    }
    if len(named) > 1:
        return (), f"has {' and '.join(named)}, must have one of them"
    if named:
        return (named[0],), f"is {show(value[named[0]])}" + suggest(str(value[named[0]]), legal[named[0]])
    keys = " or ".join(f"{tag} (legal: {', '.join(names)})" for tag, names in legal.items())
    return (), f"needs the key {keys}"


def _tag_name(tag: str) -> str:
    return tag.partition("=")[2]


def _document_path(
    loc: tuple[str | int, ...], root: type[Config]
) -> tuple[tuple[str | int, ...], type[Config]]:
    """Returns the document path of a location inside ``root``, and the innermost configuration on it."""
    path: list[str | int] = []
    current = root
    for part in loc:
        if _is_family(current):  # only a tag leads to a member; an index may precede it
            if isinstance(part, str):
                current = discover(current)[part[1:-1]]
                continue
        elif part in current.model_fields:
            current = _config_in(current.model_fields[str(part)].annotation) or current
        path.append(part)
    return tuple(path), current


def _is_family(config: type[Config]) -> bool:
    """Returns whether it is the base class of a family: its tag, if it has one, may have any value."""
    fields = (config.model_fields.get(tag) for tag in config.tags)
    return bool(config.tags) and not any(field and get_args(field.annotation) for field in fields)


def _config_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _config_in(arg))), None)

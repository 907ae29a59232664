"""What is wrong with a configuration, as (path, message), with what would be legal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from orchestrator.config.base import Config, ConfigError
from orchestrator.config.families import discover
from orchestrator.config.text import show, suggest

UNKNOWN_KEY = "unknown key"
"""How the message of a fault begins that is about a key, not about its value."""


def explain(error: ConfigError, root: type[Config]) -> list[tuple[tuple[str | int, ...], str]]:
    """The faults of a failed ``root.parse`` as (path, message), with what would be legal.

    Of very many the first are explained, and the others counted.
    """
    items = [item for item in error.errors(include_url=False) if not _follows(item)]
    found = [_explain_one(item, root) for item in items[:_MOST_EXPLAINED]]
    if more := len(items) - len(found):
        found.append((_explain_one(items[len(found)], root)[0], f"… and {more:,} more faults like these"))
    return found


_MOST_EXPLAINED = 50
"""Looking for names that are nearly right takes some 0.1 ms for each."""


def _follows(item: ErrorDetails) -> bool:
    """Whether a list is called too short only because items of it are faulty."""
    return item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]


def _explain_one(item: ErrorDetails, root: type[Config]) -> tuple[tuple[str | int, ...], str]:
    path, config = _followed(item["loc"], root)
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
"""What must have been given, by pydantic's type of error."""


def _explain_tag(value: Any, family: type[Config]) -> tuple[tuple[str, ...], str]:
    """What is wrong with the key that names the member of a family: its path in ``value``, and a message."""
    if not isinstance(value, Mapping):
        return (), f"is {show(value)}, must be a mapping with the key {' or '.join(family.tags)}"
    given = [tag for tag in family.tags if value.get(tag) is not None]
    legal = {
        tag: [_value(name) for name in discover(family) if name.startswith(f"{tag}=") and "+" not in name]
        for tag in family.tags
    }
    if len(given) > 1:
        return (), f"has {' and '.join(given)}, must have one of them"
    if given:
        return (given[0],), f"is {show(value[given[0]])}" + suggest(str(value[given[0]]), legal[given[0]])
    keys = " or ".join(f"{tag} (legal: {', '.join(names)})" for tag, names in legal.items())
    return (), f"needs the key {keys}"


def _value(tag: str) -> str:
    return tag.partition("=")[2]


def _followed(loc: tuple[str | int, ...], root: type[Config]) -> tuple[tuple[str | int, ...], type[Config]]:
    """Where a location inside ``root`` is in the document, and the innermost configuration on the way."""
    path: list[str | int] = []
    current = root
    for part in loc:
        if _is_family(current):  # which only a tag leads out of, but for an index before it
            if isinstance(part, str):
                current = discover(current)[part[1:-1]]
                continue
        elif part in current.model_fields:
            current = _config_in(current.model_fields[str(part)].annotation) or current
        path.append(part)
    return tuple(path), current


def _is_family(config: type[Config]) -> bool:
    """Whether it is what members extend: its tag, if it has one of its own, may have any value."""
    fields = (config.model_fields.get(tag) for tag in config.tags)
    return bool(config.tags) and not any(field and get_args(field.annotation) for field in fields)


def _config_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _config_in(arg))), None)

"""Text of values and names for messages and columns."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from orchestrator.addresses import masked

_MOST_LEGAL = 40


def suggest(name: str, legal: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: a similar legal name, and the legal names.

    Example:
        >>> suggest("adm", ["adam", "sgd"])
        "; did you mean 'adam'? (legal: adam, sgd)"
    """
    legal = list(legal)
    close = difflib.get_close_matches(name, legal, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    if len(legal) > _MOST_LEGAL:
        legal = [*legal[:_MOST_LEGAL], f"and {len(legal) - _MOST_LEGAL:,} more"]
    return f"{hint} (legal: {', '.join(legal)})"


def show(value: Any) -> str:
    """Returns a value as messages quote it: in YAML, short, on one line, without secrets of addresses.

    Example:
        >>> show("ten"), show(None), show(float("inf"))
        ('"ten"', 'null', '.inf')
    """
    if isinstance(value, float):
        return str(value).replace("inf", ".inf").replace("nan", ".nan")
    text = masked(json.dumps(value, default=str, ensure_ascii=False))
    if not text.isprintable():
        text = masked(json.dumps(value, default=str))  # no control character reaches a terminal
    return text if len(text) <= 60 else text[:57] + "..."


def is_labelled(value: Any) -> bool:
    """Returns whether a listed value is ``{label: …, value: …}``."""
    return isinstance(value, dict) and value.keys() == {"label", "value"}


def label(value: Any) -> tuple[Any, Any]:
    """Returns a listed value as (value, label); the label in its column is a number or a string.

    Example:
        >>> label({"clip": "norm", "limit": 1.0})[1], label({"label": "tight", "value": 1})[1]
        ('clip=norm limit=1.0', 'tight')
    """
    if type(value) in (int, float):
        return value, value
    if is_labelled(value):
        return value["value"], str(_text(value["label"]))
    return value, _text(value)


def _text(value: Any) -> Any:
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(str(_text(item)) for item in value) + "]"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else value

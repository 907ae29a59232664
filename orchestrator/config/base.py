"""The base of every configuration: frozen, unknown keys refused, types taken literally.

A configuration stands beside the code that it configures. Only modules of this folder import pydantic;
what others need of it is exported here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic import ValidationError as ConfigError
from pydantic_core import PydanticCustomError, core_schema

__all__ = ["Config", "ConfigError", "Field", "FrozenDict", "ValidationInfo", "field_validator", "refuse"]


class Config(BaseModel):
    """A frozen configuration. ``null`` in a key that has a default is the key left out.

    Example:
        >>> class Point(Config):
        ...     x: float
        ...     y: float = 0.0
        >>> Point(x=1).identity(), Point.parse({"x": 1, "y": None}).y
        ({'x': 1.0}, 0.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    tags: ClassVar[tuple[str, ...]] = ()
    """Keys of which exactly one names the member of a family, e.g. ``("kind",)``."""

    variant: ClassVar[str] = ""
    """Key that tells a member from another one of the same name, which lacks it."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: item for name, item in value.items() if item is not None or name not in _gaps(cls)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> Any:
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name in _gaps(cls):
            properties[name] = _or_null(properties[name])
        return schema

    def identity(self) -> dict[str, Any]:
        """What takes part in a trial's id: JSON values, fields equal to their default left out.

        Overridden where a value stands for something else (a path stands for a file's content).
        """
        return {
            name: _identity(value)
            for name, default in _defaults(type(self))
            if (value := getattr(self, name)) != default
        }

    def files(self) -> Iterator[Path]:
        """The local files that its numbers depend on, those of its members included."""
        for member in self._members():
            yield from member.files()

    def fingerprints(self) -> dict[str, str]:
        """A hash of each file that its numbers depend on, its members' included, by path, URI or module.

        Raises:
            InputError: one of them cannot be read.
        """
        return {path: found for member in self._members() for path, found in member.fingerprints().items()}

    def calls(self) -> Iterator[tuple[str, Path]]:
        """The functions of the user's own that it and its members call, each with its file."""
        for member in self._members():
            yield from member.calls()

    def _members(self) -> Iterator[Config]:
        for name in type(self).model_fields:
            value = getattr(self, name)
            for member in value if isinstance(value, tuple) else (value,):
                if isinstance(member, Config):
                    yield member

    @classmethod
    def parse(cls, value: Mapping[str, Any], **context: Any) -> Self:
        """Validates plain data; raises ConfigError (with all faults) if it is not legal."""
        return cls.model_validate(value, context=context)


class FrozenDict(dict[str, Any]):
    """A mapping of text to JSON values that a configuration may hold: equal, and hashed, by its JSON text.

    Example:
        >>> FrozenDict(a=1, b=2) == FrozenDict(b=2, a=1), FrozenDict(a=1) == FrozenDict(a=True)
        (True, False)
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and _text(self) == _text(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(_text(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        mapping = core_schema.dict_schema(core_schema.str_schema(strict=True), strict=True)
        return core_schema.no_info_after_validator_function(cls, mapping)


def _text(mapping: Mapping[Any, Any]) -> str:
    return json.dumps(mapping, sort_keys=True, default=str)


@cache
def _defaults(config: type[Config]) -> tuple[tuple[str, Any], ...]:
    """Fields and their defaults; that of a required one equals nothing."""
    return tuple(
        (name, field.get_default(call_default_factory=True)) for name, field in config.model_fields.items()
    )


@cache
def _gaps(config: type[Config]) -> frozenset[str]:
    """Fields that may be left out, and in which null would mean nothing else."""
    fields = config.model_fields.items()
    return frozenset(
        name for name, field in fields if not (field.is_required() or _has_null(field.annotation))
    )


def _has_null(annotation: Any) -> bool:
    return annotation is Any or type(None) in get_args(annotation)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a property that may be null as well; what describes it stays outside."""
    notes: dict[str, Any] = {
        name: schema[name] for name in ("default", "description", "title") if name in schema
    }
    rest = {name: item for name, item in schema.items() if name not in notes}
    return {"anyOf": [rest, {"type": "null"}], **notes}


def _identity(value: Any) -> Any:
    if isinstance(value, Config):
        return value.identity()
    if isinstance(value, (tuple, list)):
        return [_identity(item) for item in value]
    if isinstance(value, dict):
        return {key: _identity(item) for key, item in value.items()}
    return value


def refuse(message: str) -> PydanticCustomError:
    """The exception that a validator raises: ``raise refuse("must be even")``."""
    return PydanticCustomError("refused", "{message}", {"message": message})

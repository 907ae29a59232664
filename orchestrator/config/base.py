"""The base of all configurations: frozen, strict types, unknown keys refused.

Each configuration is in the file of the code that it configures. Only modules of this folder import pydantic;
this module exports the parts of it that others need.
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
    """A frozen configuration. A key with a default may be ``null``, which means the default.

    Example:
        >>> class Point(Config):
        ...     x: float
        ...     y: float = 0.0
        >>> Point(x=1).identity(), Point.parse({"x": 1, "y": None}).y
        ({'x': 1.0}, 0.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    tags: ClassVar[tuple[str, ...]] = ()
    """Keys of which exactly one names a member of the family, e.g. ``("kind",)``."""

    variant: ClassVar[str] = ""
    """Key that distinguishes a member from the member of the same name without that key."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: item
            for name, item in value.items()
            if item is not None or name not in _optional_fields(cls)
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> Any:
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name in _optional_fields(cls):
            properties[name] = _nullable(properties[name])
        return schema

    def identity(self) -> dict[str, Any]:
        """Returns the JSON values that a trial's id covers, without fields equal to their default.

        Overridden where a value refers to something else (a path refers to the content of a file).
        """
        return {
            name: _identity(value)
            for name, default in _defaults(type(self))
            if (value := getattr(self, name)) != default
        }

    def files(self) -> Iterator[Path]:
        """Yields the local files that its results depend on, including those of its members."""
        for member in self._members():
            yield from member.files()

    def fingerprints(self) -> dict[str, str]:
        """Returns a hash of each file that its results depend on, by path, URI or module; members included.

        Raises:
            InputError: a file cannot be read.
        """
        return {path: value for member in self._members() for path, value in member.fingerprints().items()}

    def calls(self) -> Iterator[tuple[str, Path]]:
        """Yields the user's functions that it and its members call, each with its file."""
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
        """Returns the configuration that plain data describe; raises ConfigError with all faults."""
        return cls.model_validate(value, context=context)


class FrozenDict(dict[str, Any]):
    """A mapping of text to JSON values for a field; compared and hashed by its JSON text.

    Example:
        >>> FrozenDict(a=1, b=2) == FrozenDict(b=2, a=1), FrozenDict(a=1) == FrozenDict(a=True)
        (True, False)
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and _json_text(self) == _json_text(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(_json_text(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        mapping = core_schema.dict_schema(core_schema.str_schema(strict=True), strict=True)
        return core_schema.no_info_after_validator_function(cls, mapping)


def _json_text(mapping: Mapping[Any, Any]) -> str:
    return json.dumps(mapping, sort_keys=True, default=str)


@cache
def _defaults(config: type[Config]) -> tuple[tuple[str, Any], ...]:
    """Returns the fields with their defaults; that of a required field equals no value."""
    return tuple(
        (name, field.get_default(call_default_factory=True)) for name, field in config.model_fields.items()
    )


@cache
def _optional_fields(config: type[Config]) -> frozenset[str]:
    """Returns the optional fields for which null means the default."""
    fields = config.model_fields.items()
    return frozenset(
        name for name, field in fields if not (field.is_required() or _allows_null(field.annotation))
    )


def _allows_null(annotation: Any) -> bool:
    return annotation is Any or type(None) in get_args(annotation)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a property that may also be null; descriptions stay at the top."""
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
    """Returns the exception for a validator to raise: ``raise refuse("must be even")``."""
    return PydanticCustomError("refused", "{message}", {"message": message})

"""The base of every configuration: frozen, unknown keys refused, types taken literally.

A configuration stands beside the code that it configures. A family of them (models, engines,
updates, data sources) is discovered by walking the family's package, so a new member is one new
file. The only module that imports pydantic.
"""

from __future__ import annotations

import difflib
import importlib
import json
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo, field_validator
from pydantic import ValidationError as ConfigError
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

__all__ = [
    "Config",
    "ConfigError",
    "Field",
    "OneOf",
    "ValidationInfo",
    "discover",
    "explain",
    "field_validator",
    "near",
    "refuse",
    "show",
]

Member = TypeVar("Member", bound="Config")


class Config(BaseModel):
    """A frozen configuration.

    Example:
        >>> class Point(Config):
        ...     x: float
        ...     y: float = 0.0
        >>> Point(x=1).identity()
        {'x': 1.0}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    tags: ClassVar[tuple[str, ...]] = ()
    """Keys of which exactly one names the member of a family, e.g. ``("kind",)``."""

    def identity(self) -> dict[str, Any]:
        """What takes part in a trial's id: JSON values, fields equal to their default left out.

        Overridden where a value stands for something else (a path stands for a file's content).
        """
        return {
            name: _identity(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if field.is_required() or getattr(self, name) != field.get_default(call_default_factory=True)
        }

    @classmethod
    def parse(cls, value: Mapping[str, Any], **context: Any) -> Self:
        """Validates plain data; raises ConfigError (with all faults) if it is not legal."""
        return cls.model_validate(value, context=context)


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


@cache
def discover(family: type[Member]) -> dict[str, type[Member]]:
    """All members of ``family`` by tag (``kind=mlp``), found in the modules of the family's package."""
    package = importlib.import_module(family.__module__.rpartition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    members: dict[str, type[Member]] = {}
    queue = list(family.__subclasses__())
    while queue:
        member = queue.pop(0)
        queue.extend(member.__subclasses__())
        for tag in family.tags:
            if tag in member.model_fields:
                members |= {
                    f"{tag}={value}": member for value in get_args(member.model_fields[tag].annotation)
                }
    return dict(sorted(members.items()))


@dataclass(frozen=True)
class OneOf:
    """Annotation of a field that holds any member of a family: ``Annotated[Model, OneOf()]``."""

    def __get_pydantic_core_schema__(self, family: type[Config], handler: GetCoreSchemaHandler) -> Any:
        members = discover(family)

        def tag(value: Any) -> str | None:
            return _tag(value, family)

        return core_schema.tagged_union_schema(
            {f"<{tag}>": handler.generate_schema(member) for tag, member in members.items()},
            discriminator=tag,
        )


def _tag(value: Any, family: type[Config]) -> str | None:
    """``<kind=mlp>`` for a mapping or an instance; None if it names none or several."""
    read = value.get if isinstance(value, Mapping) else lambda name: getattr(value, name, None)
    given = [f"{name}={read(name)}" for name in family.tags if read(name) is not None]
    return f"<{given[0]}>" if len(given) == 1 else None


def explain(error: ConfigError, root: type[Config]) -> list[tuple[tuple[str | int, ...], str]]:
    """The faults of a failed ``root.parse`` as (path, message), with what would be legal."""
    return [_explain_one(item, root) for item in error.errors(include_url=False)]


def _explain_one(item: ErrorDetails, root: type[Config]) -> tuple[tuple[str | int, ...], str]:
    place = tuple(part for part in item["loc"] if not str(part).startswith("<"))
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return place, "unknown key" + near(str(place[-1]), _class_at(item["loc"][:-1], root).model_fields)
    if kind == "missing":
        return place, "is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return place, _explain_tag(value, context)
    if kind == "literal_error":
        return (
            place,
            f"is {show(value)}; legal: {context['expected'].replace(chr(39), '').replace(' or ', ', ')}",
        )
    if kind == "refused":
        return place, item["msg"]
    return (
        place,
        f"is {show(value)}; {item['msg'][0].lower()}{item['msg'][1:].replace('Input', 'it')}".replace(
            "; input should be", ", must be"
        ),
    )


def _explain_tag(value: Any, context: Mapping[str, Any]) -> str:
    names = re.findall(r"<(\w+)=([^>]+)>", str(context.get("expected_tags", "")))
    keys = list(dict.fromkeys(key for key, _ in names)) or context["discriminator"]
    if not isinstance(value, Mapping):
        return f"is {show(value)}, must be a mapping"
    for key in keys:
        if key in value and names:
            legal = [name for tag, name in names if tag == key]
            return f"{key} is {show(value[key])}" + near(str(value[key]), legal)
    return "needs exactly one of the keys that say which kind it is"


def _class_at(loc: tuple[str | int, ...], root: type[Config]) -> type[Config]:
    """The configuration class that a location inside ``root`` leads to."""
    current: Any = root
    for part in loc:
        if isinstance(part, str) and part.startswith("<"):
            current = discover(current)[part[1:-1]]
        elif isinstance(part, str):
            current = _config_in(current.model_fields[part].annotation)
    return current


def _config_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _config_in(arg))), None)


def near(name: str, legal: Iterable[str]) -> str:
    """``; did you mean 'x'? (legal: …)`` for a name that is not among the legal ones."""
    legal = list(legal)
    close = difflib.get_close_matches(name, legal, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (legal: {', '.join(legal)})"


def show(value: Any) -> str:
    """A value as a message quotes it: short, on one line."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."

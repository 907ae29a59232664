"""The base of every configuration: frozen, unknown keys refused, types taken literally.

A configuration stands beside the code that it configures. A family of them (models, engines,
updates, data sources) is discovered by walking the family's package, so a new member is one new
file. The only module that imports pydantic.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import json
import pkgutil
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args

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
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

from orchestrator.addresses import masked, refusal

__all__ = [
    "UNKNOWN_KEY",
    "Config",
    "ConfigError",
    "Field",
    "FrozenDict",
    "OneOf",
    "ValidationInfo",
    "content",
    "discover",
    "explain",
    "field_validator",
    "located",
    "near",
    "refuse",
    "show",
]

Member = TypeVar("Member", bound="Config")

UNKNOWN_KEY = "unknown key"
"""How the message of a fault begins that is about a key, not about its value."""


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


def located(path: str, info: ValidationInfo) -> str:
    """Where a local file or folder that a sweep names is, for the validator of a field.

    A relative path starts at ``folder`` of the context that ``Config.parse`` was given. An absolute one
    starts at its ``root``: on a cluster, what a sweep names lies below the folder that was shipped. A secret,
    of a URI that was meant, is refused.
    """
    if reason := refusal(path):
        raise refuse(reason)
    context = info.context or {}
    if Path(path).is_absolute():
        return str(Path(context.get("root", "/"), path.lstrip("/")))
    return str(Path(context.get("folder", ".")).absolute() / path)


def content(path: str | Path, most: int) -> bytes:
    """What a regular file holds. Anything else (a pipe, a device, a socket) is not opened: it may never end.

    Args:
        path: a local file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or larger; the message says so.

    Example:
        >>> content("/dev/zero", 100)
        Traceback (most recent call last):
        ValueError: it is a device, must be a regular file
    """
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
        raise ValueError(f"it is {kind}, must be a regular file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, at most {most:,} are read")
    return Path(path).read_bytes()


@cache
def discover(family: type[Member]) -> dict[str, type[Member]]:
    """All members of ``family`` by tag, found in the family's package and the packages inside it.

    A tag is ``kind=circuit``, or ``kind=circuit+qasm`` for a variant that has the key ``qasm``. Imported are
    only modules that hold a member, which says its name so: ``kind: Literal["circuit"]``.
    """
    package = importlib.import_module(family.__module__.rpartition(".")[0])
    for name, text in _modules(package.__path__, package.__name__):
        if re.search(rf"^\s+({'|'.join(family.tags)}): Literal\[", text, re.MULTILINE):
            importlib.import_module(name)
    members: dict[str, type[Member]] = {}
    queue = list(family.__subclasses__())
    while queue:
        member = queue.pop(0)
        queue.extend(member.__subclasses__())
        for tag in family.tags:
            if tag in member.model_fields:
                variant = f"+{member.variant}" if member.variant else ""
                names = get_args(member.model_fields[tag].annotation)
                members |= {f"{tag}={name}{variant}": member for name in names}
    return dict(sorted(members.items()))


def _modules(path: Iterable[str], package: str) -> Iterator[tuple[str, str]]:
    """Name and text of all modules in and below a package; none of them is imported."""
    for module in pkgutil.iter_modules(path, f"{package}."):
        spec = module.module_finder.find_spec(module.name, None)
        if spec and isinstance(spec.loader, InspectLoader):
            yield module.name, spec.loader.get_source(module.name) or ""
            yield from _modules(spec.submodule_search_locations or (), module.name)


@dataclass(frozen=True)
class OneOf:
    """Annotation of a field that holds any member of a family: ``Annotated[Model, OneOf()]``."""

    def __get_pydantic_core_schema__(self, family: type[Config], handler: GetCoreSchemaHandler) -> Any:
        members = discover(family)

        return core_schema.tagged_union_schema(
            {f"<{tag}>": handler.generate_schema(member) for tag, member in members.items()},
            discriminator=lambda value: _tag(value, family),
        )


def _tag(value: Any, family: type[Config]) -> str | None:
    """``<kind=mlp>`` for a mapping or an instance; None if it names none or several."""
    fields = value if isinstance(value, Mapping) else vars(value) if isinstance(value, family) else {}
    given = [f"{name}={fields[name]}" for name in family.tags if fields.get(name) is not None]
    if len(given) != 1:
        return None
    variants = (tag for tag in discover(family) if tag.startswith(f"{given[0]}+"))
    chosen = (tag for tag in variants if fields.get(tag.rpartition("+")[2]) is not None)
    return f"<{next(chosen, given[0])}>"


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
    place, config = _followed(item["loc"], root)
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return place, UNKNOWN_KEY + near(str(place[-1]), config.model_fields)
    if kind == "missing":
        return place, "is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key, message = _explain_tag(value, config)
        return (*place, *key), message
    if kind == "literal_error":
        return place, f"is {show(value)}" + near(
            str(value), re.split(", | or ", context["expected"].replace("'", ""))
        )
    if kind == "refused":
        return place, item["msg"]
    if kind in _LEGAL:
        bounds = {name: show(bound).removesuffix(".0") for name, bound in context.items()}
        return place, f"is {show(value)}, must be {_LEGAL[kind].format(**bounds)}"
    return place, f"is {show(value)}: {item['msg']}"


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
    """What is wrong with the key that names the member of a family: its place in ``value``, and a message."""
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
        return (given[0],), f"is {show(value[given[0]])}" + near(str(value[given[0]]), legal[given[0]])
    keys = " or ".join(f"{tag} (legal: {', '.join(names)})" for tag, names in legal.items())
    return (), f"needs the key {keys}"


def _value(tag: str) -> str:
    return tag.partition("=")[2]


def _followed(loc: tuple[str | int, ...], root: type[Config]) -> tuple[tuple[str | int, ...], type[Config]]:
    """Where a location inside ``root`` is in the document, and the innermost configuration on the way."""
    place: list[str | int] = []
    current = root
    for part in loc:
        if _is_family(current):  # which only a tag leads out of, but for an index before it
            if isinstance(part, str):
                current = discover(current)[part[1:-1]]
                continue
        elif part in current.model_fields:
            current = _config_in(current.model_fields[str(part)].annotation) or current
        place.append(part)
    return tuple(place), current


def _is_family(config: type[Config]) -> bool:
    """Whether it is what members extend: its tag, if it has one of its own, may have any value."""
    fields = (config.model_fields.get(tag) for tag in config.tags)
    return bool(config.tags) and not any(field and get_args(field.annotation) for field in fields)


def _config_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _config_in(arg))), None)


_MOST_LEGAL = 40


def near(name: str, legal: Iterable[str]) -> str:
    """What to say behind a name that is not among the legal ones.

    Example:
        >>> near("adm", ["adam", "sgd"])
        "; did you mean 'adam'? (legal: adam, sgd)"
    """
    legal = list(legal)
    close = difflib.get_close_matches(name, legal, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    if len(legal) > _MOST_LEGAL:
        legal = [*legal[:_MOST_LEGAL], f"and {len(legal) - _MOST_LEGAL:,} more"]
    return f"{hint} (legal: {', '.join(legal)})"


def show(value: Any) -> str:
    """A value as a message quotes it: as in YAML, short, on one line, without secrets of addresses.

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

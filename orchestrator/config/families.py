"""Families of configurations (models, engines, updates, data sources): a new member is one new file."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader
from typing import Any, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from orchestrator.config.base import Config

Member = TypeVar("Member", bound="Config")


@cache
def discover(family: type[Member]) -> dict[str, type[Member]]:
    """Returns all members of ``family`` by tag, from the family's package and the packages inside it.

    A tag is ``kind=circuit``, or ``kind=circuit+qasm`` for a variant that has the key ``qasm``. Only modules
    that define a member are imported. They are recognised by a line ``kind: Literal["circuit"]``.
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
    """Yields name and source of all modules in and below a package, without importing any."""
    for module in pkgutil.iter_modules(path, f"{package}."):
        spec = module.module_finder.find_spec(module.name, None)
        if spec and isinstance(spec.loader, InspectLoader):
            yield module.name, spec.loader.get_source(module.name) or ""
            yield from _modules(spec.submodule_search_locations or (), module.name)


@dataclass(frozen=True)
class OneOf:
    """Annotation of a field that may hold any member of a family: ``Annotated[Model, OneOf()]``."""

    def __get_pydantic_core_schema__(self, family: type[Config], handler: GetCoreSchemaHandler) -> Any:
        members = discover(family)

        return core_schema.tagged_union_schema(
            {f"<{tag}>": handler.generate_schema(member) for tag, member in members.items()},
            discriminator=lambda value: _tag(value, family),
        )


def _tag(value: Any, family: type[Config]) -> str | None:
    """Returns ``<kind=mlp>`` for a mapping or an instance; None unless exactly one member is named."""
    fields = value if isinstance(value, Mapping) else vars(value) if isinstance(value, family) else {}
    named = [f"{name}={fields[name]}" for name in family.tags if fields.get(name) is not None]
    if len(named) != 1:
        return None
    variants = (tag for tag in discover(family) if tag.startswith(f"{named[0]}+"))
    chosen = (tag for tag in variants if fields.get(tag.rpartition("+")[2]) is not None)
    return f"<{next(chosen, named[0])}>"

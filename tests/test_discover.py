"""Members of a family are found in its package and in the folders below, and nothing else is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.base import Config, ConfigError
from orchestrator.config.families import discover

BASE = """\
from typing import ClassVar

from orchestrator.config.base import Config


class Shape(Config):
    tags: ClassVar[tuple[str, ...]] = ("kind",)
"""
MEMBER = """\
from typing import Literal

from shapes.base import Shape


class {0}(Shape):
    kind: Literal["{1}"]
    size: int = 1
"""
FILES = {
    "__init__.py": "",
    "base.py": BASE,
    "square.py": MEMBER.format("Square", "square"),
    "round/__init__.py": "",
    "round/circle.py": MEMBER.format("Circle", "circle"),
    "round/heavy.py": "raise AssertionError('nobody needs this one')\n",
    "round/long/__init__.py": MEMBER.format("Tube", "tube"),
    "round/long/ellipse.py": MEMBER.format("Ellipse", "ellipse"),
}
HOLDER = """\
from typing import Annotated

from orchestrator.config.base import Config
from orchestrator.config.families import OneOf
from shapes.base import Shape


class Holder(Config):
    shape: Annotated[Shape, OneOf()]
"""


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Config]]:
    """A family whose package ``shapes`` has folders."""
    for name, text in FILES.items():
        (tmp_path / "shapes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shapes" / name).write_text(text)
    (tmp_path / "holder.py").write_text(HOLDER)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shapes.base").Shape
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shapes", "holder")]:
        del sys.modules[name]


def test_members_are_found_in_folders_below_the_familys_package(family: type[Config]) -> None:
    found = {tag: member.__module__ for tag, member in discover(family).items()}
    assert found == {
        "kind=circle": "shapes.round.circle",
        "kind=ellipse": "shapes.round.long.ellipse",
        "kind=square": "shapes.square",
        "kind=tube": "shapes.round.long",
    }


def test_member_in_a_folder_is_a_value_like_any_other(family: type[Config]) -> None:  # noqa: ARG001
    holder = importlib.import_module("holder").Holder
    assert holder.parse({"shape": {"kind": "ellipse", "size": 2}}).identity() == {
        "shape": {"kind": "ellipse", "size": 2}
    }
    with pytest.raises(ConfigError):
        holder.parse({"shape": {"kind": "heavy"}})


def test_module_without_a_member_is_not_imported(family: type[Config]) -> None:
    discover(family)
    assert "shapes.round.heavy" not in sys.modules

"""The sweep file as a whole: name, base, sweep, placement."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from orchestrator.config import Config, ConfigError, Field, explain, near, show
from orchestrator.errors import Fault, InputError
from orchestrator.sweep import document
from orchestrator.sweep.axes import AxisReader, branches, clashes
from orchestrator.sweep.document import Document
from orchestrator.sweep.plan import Plan
from orchestrator.sweep.planner import Planner
from orchestrator.sweep.resolved import Resolved
from orchestrator.sweep.trial import Record

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Placement(Config):
    """Where and in what portions a sweep is computed. Changes no number of it."""

    pack: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="trials advanced together"
    )
    threads: int = Field(default=1, ge=1, description="threads of a worker; as many CPUs of the cluster")
    chunk_steps: int | None = Field(
        default=None, ge=1, description="a worker hands back after so many steps at the latest"
    )
    chunk_seconds: float = Field(
        default=2.0, ge=0, description="a worker hands back after this time, once its step is done"
    )
    commit_seconds: float = Field(default=5.0, ge=0, description="time between commits")
    shard_seconds: float = Field(
        default=0.01, ge=0, description="a shard is worth a worker of its own if it costs more than this"
    )


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and planned.

    Attributes:
        text: the sweep as resolved, YAML; reading it again gives the same plan.
        folder: relative file names in the sweep start here.
    """

    name: str
    plan: Plan
    record: Record
    placement: Placement
    text: str
    folder: Path


def load(path: str | Path, overrides: Iterable[str] = ()) -> Sweep:
    """Reads and plans a sweep file.

    Args:
        path: the YAML file.
        overrides: ``path=value`` pairs applied to it, e.g. ``base.steps=10``; values are YAML.

    Raises:
        InputError: every fault found, with file and line.

    Example:
        >>> load("jobs/quickstart.yaml").plan.count
        18
    """
    return plan(document.read(path), Path(path).resolve().parent, overrides)


def plan(source: Document, folder: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Plans a sweep that has been read; see ``load``."""
    if not isinstance(source.data, dict):
        raise InputError(
            [source.fault((), f"is {show(source.data)}, must be a mapping with name, base, sweep")]
        )
    source = _overridden(source, overrides)
    data: dict[str, Any] = source.data
    placement, faults = _placement(source)
    faults += [*_top_faults(source), *_base_faults(source, folder)]
    reader = AxisReader(source, _sampling_seed(data))
    scope = reader.scope(data.get("sweep", []), ("sweep",))
    faults += reader.faults
    found = list(branches(scope))
    faults += {str(f): f for branch in found for f in clashes(branch, source)}.values()
    if faults:
        raise InputError(sorted(faults, key=lambda fault: fault.order))
    planned = Planner(source, data["base"], folder).plan(found)
    record = planned.structures[0].template.record
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return Sweep(data["name"], planned, record, placement, text, folder)


def _top_faults(source: Document) -> list[Fault]:
    legal = ("name", "sampling_seed", "base", "sweep", "placement")
    data = source.data
    faults = [source.fault((key,), "unknown key" + near(key, legal)) for key in data if key not in legal]
    faults += [source.fault((key,), "is missing") for key in ("name", "base") if key not in data]
    name = data.get("name", "x")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(
            source.fault(
                ("name",),
                f"is {show(name)}, must be a plain name (letters, digits, '.', '_', '-'), not a path",
            )
        )
    seed = data.get("sampling_seed", 0)
    if type(seed) is not int or not 0 <= seed < 2**63:
        faults.append(source.fault(("sampling_seed",), f"is {show(seed)}, must be a whole number, 0 or more"))
    return faults


def _sampling_seed(data: dict[str, Any]) -> int:
    seed = data.get("sampling_seed", 0)
    return seed if type(seed) is int and 0 <= seed < 2**63 else 0


def _base_faults(source: Document, folder: Path) -> list[Fault]:
    base = source.data.get("base", {})
    if not isinstance(base, dict):
        return [source.fault(("base",), f"is {show(base)}, must be a mapping: one complete trial")]
    if "base" not in source.data:
        return []
    resolved = Resolved(source, folder, copy.deepcopy(base))
    resolved.trial()
    return resolved.faults


def _placement(source: Document) -> tuple[Placement, list[Fault]]:
    raw = source.data.get("placement", {})
    try:
        placement = Placement.parse(raw)
    except ConfigError as error:
        return Placement(), [
            source.fault(("placement", *place), message) for place, message in explain(error, Placement)
        ]
    return placement, []


def _overridden(source: Document, overrides: Iterable[str]) -> Document:
    """The document with ``path=value`` pairs applied."""
    data = copy.deepcopy(source.data)
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise InputError([Fault("", f"{text!r} is not path=value, e.g. base.steps=10", "--set")])
        _write(data, path.split("."), document.parse(value, f"--set {path}").data, text)
    return Document(source.file, data, source.lines)


def _write(data: Any, parts: list[str], value: Any, text: str) -> None:
    for part in parts[:-1]:
        data = _inside(data, part, text)
    _inside(data, parts[-1], text, missing=True)
    data[int(parts[-1]) if isinstance(data, list) else parts[-1]] = value


def _inside(data: Any, part: str, text: str, missing: bool = False) -> Any:
    if isinstance(data, dict):
        return None if missing else data.setdefault(part, {})
    if isinstance(data, list) and part.isdigit() and int(part) < len(data):
        return data[int(part)]
    raise InputError([Fault("", f"{text!r}: there is nothing at {part!r}", "--set")])

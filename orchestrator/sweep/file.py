"""The sweep file as a whole: name, base, sweep, placement, and when to stop early."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import user_code
from orchestrator.config.base import Config, ConfigError, Field, field_validator, refuse
from orchestrator.config.faults import explain
from orchestrator.config.text import show
from orchestrator.errors import InputError
from orchestrator.sweep import document
from orchestrator.sweep.document import Document
from orchestrator.sweep.items import ItemReader
from orchestrator.sweep.overrides import overridden
from orchestrator.sweep.paths import DocumentFault
from orchestrator.sweep.plan import Plan
from orchestrator.sweep.planner import Planner
from orchestrator.sweep.reported import reported
from orchestrator.trial.trial import Record, Trial

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
LONGEST_NAME = 200
"""Characters; file systems allow 255, and the names of jobs and archives add some."""
MEMORY = r"^([0-9]+(?:\.[0-9]+)?) ?([KMGT])iB$"


class Placement(Config):
    """Where, and in what portions, a sweep is computed. No result depends on it."""

    pack: int | None = Field(
        default=None,
        ge=1,
        description="trials advanced together; null: as many as memory and workers suggest",
    )
    threads: int = Field(default=1, ge=1, description="threads of a worker, and the CPUs that it takes")
    memory: int | None = Field(
        default=None,
        ge=1,
        description="memory that Ray reserves for a worker: bytes, or text such as 2GiB; null: none",
        json_schema_extra={
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": MEMORY},
                {"type": "null"},
            ]
        },
    )
    chunk_steps: int | None = Field(
        default=None, ge=1, description="a worker returns its results after at most this number of steps"
    )
    chunk_seconds: float = Field(
        default=2.0,
        ge=0,
        description="a worker returns its results after this time, once the current step is done",
    )
    commit_seconds: float = Field(
        default=5.0,
        ge=0,
        description="time between commits; 0: the driver commits all results before it continues",
    )
    shard_seconds: float = Field(
        default=0.01, ge=0, description="a shard that takes this long or longer may get a worker of its own"
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not (found := re.fullmatch(MEMORY, value)):
            legal = "a number of bytes, or text such as 512MiB or 2GiB (units: KiB, MiB, GiB, TiB)"
            raise refuse(f"is {show(value)}, must be {legal}")
        return int(float(found[1]) * 2 ** (10 * (1 + "KMGT".index(found[2]))))


class StopAfter(Config):
    """Conditions that stop a failing sweep early."""

    identical_failures: int | None = Field(
        default=None,
        ge=1,
        description="number of trials that fail in the same way; null: no number stops the sweep",
    )


class SweepFile(Config):
    """The keys of a sweep file; the content of ``base`` and ``sweep`` is read elsewhere."""

    name: str = Field(
        description="names the run directory", json_schema_extra={"pattern": NAME, "maxLength": LONGEST_NAME}
    )
    sampling_seed: int = Field(default=0, ge=0, lt=2**63, description="seed of `samples`")
    base: dict[str, Any]
    sweep: Any = Field(default_factory=list)
    placement: Placement = Placement()
    stop_after: StopAfter = StopAfter()

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(NAME, name):
            legal = "letters, digits, '.', '_' and '-', beginning with a letter or digit"
            raise refuse(f"is {show(name)}, must be a plain name ({legal}), not a path")
        if len(name) > LONGEST_NAME:
            raise refuse(f"has {len(name):,} characters, must have at most {LONGEST_NAME}")
        return name


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and planned.

    Attributes:
        text: the resolved sweep as YAML; read from the same folder, it gives the same plan.
        folder: relative file names in the sweep start here.
    """

    name: str
    plan: Plan
    record: Record
    placement: Placement
    stop_after: StopAfter
    text: str
    folder: Path


def load(
    path: str | Path,
    overrides: Iterable[str] = (),
    root: Path = Path("/"),
    trust: Iterable[str | os.PathLike[str]] = (),
) -> Sweep:
    """Reads and plans a sweep file. From then on, this process trusts code in its folder and in ``trust``.

    Args:
        path: the YAML file.
        overrides: ``path=value`` pairs applied to it, e.g. ``base.steps=10``; values are YAML.
        root: absolute file names in the sweep start here. Another root than ``/`` holds shipped files; all
            code below it is trusted, as it was checked before it was shipped.
        trust: packages and folders whose code the sweep may call as well; see ``user_code.Trust``.

    Raises:
        InputError: every fault found, with file and line.

    Example:
        >>> load("jobs/quickstart.yaml").plan.count
        18
    """
    source, folder = overridden(document.read(path), overrides), Path(path).resolve().parent
    own = folder if root == Path("/") else root.absolute()
    user_code.allow(user_code.Trust.of(trust, own))
    return plan(source, folder, root.absolute())


def plan(source: Document, folder: Path, root: Path = Path("/")) -> Sweep:
    """Plans a sweep that is already read; see ``load``."""
    data = source.data
    if not isinstance(data, dict):
        message = f"is {show(data)}, must be a mapping with the keys name and base"
        raise InputError(reported([DocumentFault((), message)], source))
    head, faults = _head(data)
    reader = ItemReader(head.sampling_seed)
    scope = reader.scope(data.get("sweep", []), ("sweep",))
    faults.update(reader.faults)
    base = data.get("base")
    planned = Planner(base, folder, root, faults).plan(scope) if isinstance(base, dict) else None
    if planned is None:
        raise InputError(reported(faults, source))
    record = planned.structures[0].template.record
    text = document.dump(data)
    return Sweep(head.name, planned, record, head.placement, head.stop_after, text, folder)


def _head(data: dict[str, Any]) -> tuple[SweepFile, set[DocumentFault]]:
    """Returns the keys of the file and their faults; if there are faults, the keys are placeholders."""
    try:
        return SweepFile.parse(data), set()
    except ConfigError as error:
        faults = {
            DocumentFault(path, _misplaced(path) or message) for path, message in explain(error, SweepFile)
        }
        return SweepFile(name="faulty", base={}), faults


def _misplaced(path: tuple[str | int, ...]) -> str:
    """Returns the message for a key of the trial outside of ``base``; empty for other keys."""
    if len(path) > 1 or path[0] not in Trial.model_fields:
        return ""
    return f"is a key of the trial, which belongs in base: write base.{path[0]}"

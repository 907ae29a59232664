"""Runs committed trials once more and compares: the promise of equal bits, put to the test."""

from __future__ import annotations

import json
import math
import platform
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config.base import ConfigError
from orchestrator.config.faults import explain
from orchestrator.driver.ledger import Ledger
from orchestrator.driver.scheduler import Work
from orchestrator.errors import Fault, InputError, RunDirectoryError
from orchestrator.runs.compare import Difference, committed, first_difference
from orchestrator.runs.reader import Run
from orchestrator.sweep.paths import dotted
from orchestrator.sweep.plan import PlannedTrial
from orchestrator.tables.rows import Rows
from orchestrator.training.advance import Limits, advance
from orchestrator.training.loop import Team
from orchestrator.training.pack import Pack
from orchestrator.trial.pinned import pin
from orchestrator.trial.trial import Trial, trial_id

_WHOLE = Limits(None, math.inf)


@dataclass(frozen=True)
class Verification:
    """What was checked, and what came of it.

    Attributes:
        trials: number of trials that were run again.
        ended: number of those in the run that could have been chosen, all of them current.
        left_out: number of those that could not, as they are not repeatable.
        rows: of `steps`, `gradients` and `parameters` that were compared, and one for each trial.
        differences: the first one of each trial that differs.
        versions: ``name old (here new)`` for what computes here in another version than in the run.
    """

    trials: int
    ended: int
    left_out: int
    rows: int
    differences: tuple[Difference, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class _Committed:
    """A trial as the run has it."""

    planned: PlannedTrial
    versions: str


def verify(
    run: Run,
    team: Team,
    count: int,
    seed: int,
    versions: dict[str, str],
) -> Verification:
    """Runs some trials of a run again, each by itself, and compares their deterministic columns.

    Chosen are current and repeatable trials that ended as `done` or `diverged`: what failed has no numbers to
    compare, and files of trials that the sweep no longer names may have changed.

    Args:
        team: computes the shards.
        count: how many trials; all, if there are no more.
        seed: of the choice.
        versions: of what computes here.

    Raises:
        RunDirectoryError: no such trial has ended yet.
        InputError: a file that a trial names has changed or gone, or this process lacks the GPU it needs.
    """
    ended, left_out = _ended(run)
    if not ended:
        others = f"; {left_out} that have are not repeatable" if left_out else ""
        raise RunDirectoryError(
            "no trial of this run has ended as done or diverged yet, of those that its sweep names"
            f"{others}; nothing to verify"
        )
    chosen = random.Random(seed).sample(ended, min(count, len(ended)))
    held = committed(run, chosen)
    trials = sorted(_trials(held["trials"].to_pylist()), key=lambda trial: trial.planned.index)
    for engine in dict.fromkeys(trial.planned.trial.gradient for trial in trials):
        engine.check()
    differences = [
        difference
        for trial in trials
        if (difference := first_difference(trial.planned.id, held, _again(team, trial.planned)))
    ]
    rows = sum(table.num_rows for table in held.values())
    used = {trial.versions for trial in trials}
    other = _other_versions(used, versions)
    return Verification(len(trials), len(ended), left_out, rows, tuple(differences), other)


def cpu() -> str:
    """The CPU of this machine: its name, and what tells apart generations that share one."""
    facts = _cpu_facts()
    name = facts.get("model name") or platform.processor() or platform.machine()
    numbers = ", ".join(f"{key.split()[-1]} {facts[key]}" for key in ("cpu family", "model") if key in facts)
    return f"{name} ({numbers})" if numbers else name


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    file = Path("/proc/cpuinfo")
    first = file.read_text().partition("\n\n")[0] if file.exists() else ""
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _ended(run: Run) -> tuple[list[str], int]:
    """Trials that may be chosen, and how many may not as they are not repeatable."""
    table = run.read("trials", ["trial", "status", "current", "repeatable"]).to_pylist()
    ended = [row for row in table if row["current"] and row["status"] in ("done", "diverged")]
    chosen = sorted(row["trial"] for row in ended if row["repeatable"])
    return chosen, len(ended) - len(chosen)


def _trials(rows: list[dict[str, Any]]) -> Iterator[_Committed]:
    for row in rows:
        trial = _parsed(row["trial"], row["configuration"])
        yield _Committed(PlannedTrial(row["trial"], row["index"], trial, ()), row["versions"])


def _parsed(name: str, configuration: str) -> Trial:
    """The trial of a configuration, which must still be the one of that id."""
    try:
        trial = Trial.parse(json.loads(configuration), folder="")
    except ConfigError as error:
        place = f"trial {name}"
        raise InputError(Fault(dotted(at), text, place) for at, text in explain(error, Trial)) from None
    if trial_id(trial) != name:
        message = "a file that it names has changed since, or this version reads its configuration otherwise"
        raise InputError.at(f"trial {name}", f"{message}; restore the file, or take the version that ran it")
    return trial


def _again(team: Team, planned: PlannedTrial) -> Rows:
    pack = Pack((planned.trial,), (planned.id,), pin(planned.trial))
    ledger, work = Ledger(""), Work(0, pack, {planned.id: planned})
    rest: Pack | None = pack
    while rest is not None:
        chunk = advance(team, rest, _WHOLE)
        ledger.add(work, chunk)
        rest = chunk.pack
    return ledger.take()[0]


def _other_versions(used: set[str], here: dict[str, str]) -> tuple[str, ...]:
    found = set()
    for text in used:
        then = json.loads(text)
        for name in then.keys() | here.keys():
            if then.get(name) != here.get(name):
                found.add(f"{name} {then.get(name, 'absent')} (here {here.get(name, 'absent')})")
    return tuple(sorted(found))

"""Runs committed trials again and compares them: tests the promise of equal bits."""

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

_NO_LIMITS = Limits(None, math.inf)


@dataclass(frozen=True)
class Verification:
    """The result of ``verify``.

    Attributes:
        trials: number of trials that were run again.
        ended: number of current trials in the run that could have been chosen.
        left_out: number of ended, current trials that are not repeatable and could not be chosen.
        rows: number of rows that were compared: of `steps`, `gradients`, `parameters`, and one per trial.
        differences: the first difference of each trial that differs.
        versions: ``name old (here new)`` for each library with other versions here and in the run.
    """

    trials: int
    ended: int
    left_out: int
    rows: int
    differences: tuple[Difference, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class _Committed:
    """A committed trial, and the versions that computed it, as JSON."""

    planned: PlannedTrial
    versions: str


def verify(
    run: Run,
    team: Team,
    count: int,
    seed: int,
    versions: dict[str, str],
) -> Verification:
    """Runs some trials of a run again, each alone, and compares their deterministic columns.

    It chooses among current and repeatable trials that ended as `done` or `diverged`. Failed trials have no
    numbers to compare. Files of trials that the sweep no longer names may have changed.

    Args:
        team: computes the shards.
        count: number of trials; all, if there are fewer.
        seed: seed of the choice.
        versions: versions of the libraries that compute here.

    Raises:
        RunDirectoryError: no such trial has ended yet.
        InputError: a file that a trial names has changed or is missing, or this process lacks the GPU that a
            trial needs.
    """
    ended, left_out = _ended(run)
    if not ended:
        others = f", except {left_out} that are not repeatable" if left_out else ""
        raise RunDirectoryError(
            f"nothing to verify: no trial that the sweep names has ended as done or diverged yet{others}"
        )
    chosen = random.Random(seed).sample(ended, min(count, len(ended)))
    tables = committed(run, chosen)
    trials = sorted(_trials(tables["trials"].to_pylist()), key=lambda trial: trial.planned.index)
    for engine in dict.fromkeys(trial.planned.trial.gradient for trial in trials):
        engine.check()
    differences = [
        difference
        for trial in trials
        if (difference := first_difference(trial.planned.id, tables, _run_again(team, trial.planned)))
    ]
    rows = sum(table.num_rows for table in tables.values())
    used = {trial.versions for trial in trials}
    other = _other_versions(used, versions)
    return Verification(len(trials), len(ended), left_out, rows, tuple(differences), other)


def cpu() -> str:
    """Name of this machine's CPU, with its family and model numbers, as generations share a name."""
    facts = _cpu_facts()
    name = facts.get("model name") or platform.processor() or platform.machine()
    numbers = ", ".join(f"{key.split()[-1]} {facts[key]}" for key in ("cpu family", "model") if key in facts)
    return f"{name} ({numbers})" if numbers else name


def _cpu_facts() -> dict[str, str]:
    """Returns what Linux reports on the first core; nothing on other systems."""
    file = Path("/proc/cpuinfo")
    first = file.read_text().partition("\n\n")[0] if file.exists() else ""
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _ended(run: Run) -> tuple[list[str], int]:
    """Returns the trials that may be chosen, and the number of those that are not repeatable."""
    table = run.read("trials", ["trial", "status", "current", "repeatable"]).to_pylist()
    ended = [row for row in table if row["current"] and row["status"] in ("done", "diverged")]
    chosen = sorted(row["trial"] for row in ended if row["repeatable"])
    return chosen, len(ended) - len(chosen)


def _trials(rows: list[dict[str, Any]]) -> Iterator[_Committed]:
    for row in rows:
        trial = _parsed(row["trial"], row["configuration"])
        yield _Committed(PlannedTrial(row["trial"], row["index"], trial, ()), row["versions"])


def _parsed(name: str, configuration: str) -> Trial:
    """Returns the trial of a configuration. Raises InputError if it is invalid or has another id now."""
    try:
        trial = Trial.parse(json.loads(configuration), folder="")
    except ConfigError as error:
        origin = f"trial {name}"
        raise InputError(Fault(dotted(at), text, origin) for at, text in explain(error, Trial)) from None
    if trial_id(trial) != name:
        message = "a file that it names has changed since, or this version reads the trial differently"
        raise InputError.at(f"trial {name}", f"{message}; restore the file, or use the version that ran it")
    return trial


def _run_again(team: Team, planned: PlannedTrial) -> Rows:
    pack = Pack((planned.trial,), (planned.id,), pin(planned.trial))
    ledger, work = Ledger(""), Work(0, pack, {planned.id: planned})
    rest: Pack | None = pack
    while rest is not None:
        chunk = advance(team, rest, _NO_LIMITS)
        ledger.add(work, chunk)
        rest = chunk.pack
    return ledger.take()[0]


def _other_versions(used: set[str], here: dict[str, str]) -> tuple[str, ...]:
    differing = set()
    for text in used:
        then = json.loads(text)
        for name in then.keys() | here.keys():
            if then.get(name) != here.get(name):
                differing.add(f"{name} {then.get(name, 'absent')} (here {here.get(name, 'absent')})")
    return tuple(sorted(differing))

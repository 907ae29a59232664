"""Small runs, written by the real writer: a driver's commits as functions of trial and step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.runs.digest import digest
from orchestrator.runs.manifest import COMPLETE, Complete, RunInfo
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.base import Fingerprint
from orchestrator.runs.storage.opening import storage
from orchestrator.runs.writer import RunWriter
from orchestrator.tables.rows import KeyColumn, KeyValue, Rows, SavedState

KEYS = (KeyColumn("model.layers", "int64"), KeyColumn("updates.0", "string"), KeyColumn("seed", "int64"))
GROUPS = ("weight", "bias")
STEPS = 3
SWEEP = "name: small\n"


def trial_id(number: int) -> str:
    """Returns the id of trial ``number``; ids are distributed like those of real trials."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def key_values(number: int) -> tuple[KeyValue, ...]:
    """Returns the values of ``KEYS`` of trial ``number``."""
    return number % 4 + 1, ("none", "tight")[number % 2], number


def plan(numbers: Iterable[int]) -> Iterator[tuple[str, tuple[KeyValue, ...]]]:
    """Returns the trials and swept keys of a sweep over these trials, for ``compact``."""
    return ((trial_id(number), key_values(number)) for number in numbers)


def open_writer(path: Path | str, **changes: Any) -> RunWriter:
    """Opens a writer of the run that the other functions fill."""
    options = {"name": "small", "sweep": SWEEP, "record": "{}", "keys": KEYS, "versions": {"numpy": "2.0"}}
    return RunWriter.open(path, **{**options, **changes})


def commits(path: Path) -> list[str]:
    """Lists the names of the commit folders of a run, sorted."""
    return sorted(folder.name for folder in (path / "commits").iterdir())


def state(number: int, step: int) -> SavedState:
    """Returns the state of a trial before ``step``, with values that are easily lost: -0.0, NaN, inf."""
    return SavedState(step, np.array([number, step, -0.0, math.nan, math.inf, 1 / 3]))


def rows(numbers: Sequence[int], start: int, stop: int) -> Rows:
    """Returns the rows of steps [start, stop) of each trial; step ``STEPS - 1`` ends a trial."""
    steps = [(number, step) for number in numbers for step in range(start, stop)]
    groups = [(number, step, group) for number, step in steps for group in GROUPS]
    return {
        "steps": {
            "trial": [trial_id(number) for number, _ in steps],
            "step": np.array([step for _, step in steps]),
            "loss": np.array([math.sin(number + step / 7) for number, step in steps]),
            "clip_scale": np.array([math.nan if step == 0 else 0.5 for _, step in steps]),
            "finite": np.array([True for _ in steps]),
            "seconds_compute": np.random.default_rng().random(len(steps)),
        },
        "gradients": {
            "trial": [trial_id(number) for number, _, _ in groups],
            "step": [step for _, step, _ in groups],
            "group": [group for _, _, group in groups],
            "l2": np.array([math.cos(number + step) for number, step, _ in groups]),
            "histogram": np.array([[number, step, 0, 9] for number, step, _ in groups]).reshape(-1, 4),
        },
        **(_ended(numbers) if stop == STEPS else {}),
    }


def _ended(numbers: Sequence[int]) -> Rows:
    return {
        "trials": {
            "trial": [trial_id(number) for number in numbers],
            "status": ["done" for _ in numbers],
            "steps": [STEPS for _ in numbers],
            "seed": list(numbers),
            "index": list(numbers),
            "current": [True for _ in numbers],
            "configuration": [f'{{"seed":{number}}}' for number in numbers],
        },
        "parameters": {
            "trial": [trial_id(number) for number in numbers],
            "component": [0 for _ in numbers],
            "value": [number / 3 for number in numbers],
        },
    }


def advance(writer: RunWriter, numbers: Sequence[int], start: int, stop: int) -> None:
    """Commits steps [start, stop) of trials and the states after these steps."""
    states = {} if stop == STEPS else {trial_id(number): state(number, stop) for number in numbers}
    keys = {trial_id(number): key_values(number) for number in numbers} if start == 0 else {}
    writer.commit(rows(numbers, start, stop), keys, states)


def run_at_once(writer: RunWriter, numbers: Sequence[int]) -> None:
    """Runs all trials to their end, in one commit."""
    advance(writer, numbers, 0, STEPS)


def fail(writer: RunWriter, numbers: Sequence[int]) -> None:
    """Commits the first steps of trials that then fail."""
    ended = {**_ended(numbers)["trials"], "status": ["failed" for _ in numbers]}
    keys = {trial_id(number): key_values(number) for number in numbers}
    writer.commit({**rows(numbers, 0, STEPS - 1), "trials": ended}, keys, {})


def run_missing(writer: RunWriter, numbers: Iterable[int]) -> None:
    """Runs every unfinished trial to its end, as a driver would, with one step per commit."""
    ended, states = set(writer.ended().tolist()), writer.states()
    for number in numbers:
        if int(trial_id(number), 16) not in ended:
            saved = states.get(trial_id(number), state(number, 0))
            np.testing.assert_array_equal(saved.vector, state(number, saved.step).vector)
            for step in range(saved.step, STEPS):
                advance(writer, [number], step, step + 1)


def numbers(words: str) -> range:
    """Parses a range of trials: ``6`` is the first six, ``2:6`` leaves out the first two."""
    return range(*map(int, words.split(":")))


def fingerprint(path: Path | str) -> str:
    """Returns the digest of a run and a hash of its marks; equal runs have equal fingerprints."""
    content = repr(sorted(marks(path).items())).encode()
    return f"{digest(Run(path)).total}-{hashlib.sha256(content).hexdigest()}"


def mark(writer: RunWriter, numbers: Iterable[int]) -> None:
    """Marks the ended trials that are not current in a sweep over ``numbers``."""
    named = np.array([int(trial_id(number), 16) for number in numbers], np.uint64)
    writer.mark(np.setdiff1d(writer.ended(), named), plan(numbers))


def marks(path: Path | str) -> dict[str, tuple[bool, int | None]]:
    """Returns the marks of each trial: whether it is current, and its index."""
    rows = Run(path).read("trials", ["trial", "current", "index"]).to_pylist()
    return {row["trial"]: (row["current"], row["index"]) for row in rows}


def finish(path: Path | str, numbers: Sequence[int]) -> None:
    """Does what ``run`` does, also repeatedly: runs failed and missing trials, then compacts the run."""
    with open_writer(path) as writer:
        failed = set(writer.failed().tolist())
        again = [trial_id(number) for number in numbers if int(trial_id(number), 16) in failed]
        writer.take_back(again, plan(numbers))
        mark(writer, numbers)
        run_missing(writer, numbers)
        writer.compact(plan(numbers))


def relist(path: Path) -> None:
    """Lists the finished parts of a run again, after a test has changed one."""
    folder = storage(path)
    info, complete = RunInfo.load(folder), Complete.load(folder)
    assert info
    assert complete
    files = {name: _fingerprint(path / name) for name in complete.files}
    folder.replace(COMPLETE, replace(complete, files=files).dump(info))


def _fingerprint(part: Path) -> Fingerprint:
    content = part.read_bytes()
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") :]
    return Fingerprint(len(content), *(hashlib.sha256(data).hexdigest() for data in (content, footer)))

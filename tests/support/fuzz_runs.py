"""Damages runs at random. Reading them must give the same results, or an error that names a file.

    python tests/support/fuzz_runs.py ROUNDS [SEED]

Each round copies a run, finished or not, damages one or two of its files (flips bits, truncates, removes,
copies or swaps them), then uses the copy. A reader must return the rows that were written (or some of them,
if the run is unfinished) or raise RunDirectoryError. `run` must complete all rows, or raise
RunDirectoryError.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stored_runs as small

from orchestrator.errors import RunDirectoryError
from orchestrator.reports.query import query
from orchestrator.reports.status import status
from orchestrator.runs.digest import digest
from orchestrator.runs.reader import Run
from orchestrator.tables.schema import TABLES

TRIALS = range(4)


def flip(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes() or b"\0")
    for _ in range(chance.choice([1, 1, 1, 8])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def cut(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(len(content) + 1)])


def remove(file: Path, _: random.Random) -> None:
    file.unlink()


def double(file: Path, chance: random.Random) -> None:
    """Copies a file over another one, or to a new name."""
    others = [other for other in files(run_of(file)) if other != file]
    shutil.copy(file, chance.choice([*others, file.with_name(f"copy-{file.name}")]))


def swap(file: Path, chance: random.Random) -> None:
    other = chance.choice(files(run_of(file)))
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def swap_commits(file: Path, chance: random.Random) -> None:
    commits = sorted((run_of(file) / "commits").glob("0*"))
    if len(commits) > 1:
        first, second = chance.sample(commits, 2)
        first.rename(first.with_name("kept"))
        second.rename(first)
        first.with_name("kept").rename(second)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    flip,
    flip,
    cut,
    remove,
    double,
    swap,
    swap_commits,
)


def run_of(file: Path) -> Path:
    return next(above for above in file.parents if above.name.startswith("damaged"))


def files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name != "lock")


@dataclass(frozen=True)
class Written:
    """A run and the rows that were written to it."""

    path: Path
    finished: bool
    tables: dict[str, list[dict[str, Any]]]


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Reads all rows of each table with Arrow, in order; checks their numbers with DuckDB; calls status."""
    status(path)
    run = Run(path)
    found = {table: run.read(table).to_pylist() for table in TABLES}
    counts = ", ".join(f"(select count(*) from {table})" for table in TABLES)
    assert query(run, f"select {counts}", all_trials=True).rows == [tuple(map(len, found.values()))]
    return found


def written(folder: Path) -> list[Written]:
    """Writes runs in several states. The first is finished, as all of them are in the end."""
    small.finish(folder / "finished", TRIALS)
    for name, begun in (("unfinished", 0), ("growing", 2)):
        if begun:
            small.finish(folder / name, range(begun))
        with small.open_writer(folder / name) as writer:
            small.advance(writer, [2], 0, small.STEPS)
            small.advance(writer, [3], 0, 1)
            small.advance(writer, [3], 1, 2)
    return [
        Written(folder / name, name == "finished", rows(folder / name))
        for name in ("finished", "unfinished", "growing")
    ]


def part_of(found: list[Any], whole: list[Any]) -> bool:
    return all(row in whole for row in found)


def one_round(run: Written, whole: str, copy: Path, chance: random.Random) -> str:
    """Damages a copy, uses it, returns how that ended. Raises AssertionError if it read other rows."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run.path, copy)
    for _ in range(chance.choice([1, 1, 2])):
        chance.choice(DAMAGES)(chance.choice(files(copy)), chance)
    ended = []
    try:
        found = rows(copy)
        same = found == run.tables
        assert same or not run.finished, "a finished run reads otherwise"
        assert all(part_of(found[table], run.tables[table]) for table in TABLES), "rows that nobody wrote"
        ended.append("read" if same else "read in part")
    except RunDirectoryError:
        ended.append("refused")
    try:
        Run(copy).check_files()
        small.finish(copy, TRIALS)
        total = digest(Run(copy)).total
        assert total == whole, "other results"
        ended.append("same results")
    except RunDirectoryError:
        ended.append("run refused")
    return ", ".join(ended)


def fuzz(rounds: int, seed: int) -> Counter[str]:
    """Runs ``rounds`` rounds and counts how they ended.

    Raises:
        AssertionError: a reader returned rows that were not written; the message names the round.
    """
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        runs = written(Path(name))
        whole = digest(Run(runs[0].path)).total
        for number in range(rounds):
            chance = random.Random(f"{seed} {number}")
            try:
                ends[one_round(runs[number % len(runs)], whole, Path(name) / "damaged", chance)] += 1
            except Exception as error:
                raise AssertionError(
                    f"seed {seed}, round {number}: {type(error).__name__}: {error}"
                ) from error
    return ends


if __name__ == "__main__":
    warnings.simplefilter("error")
    os.fsync = int  # does nothing: no machine fails here
    for end, count in fuzz(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0).most_common():
        print(f"{count:7,}  {end}")

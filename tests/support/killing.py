"""Kills a driver before each of its file operations in turn, finishes what it left, prints the digest.

    python killing.py BASE PLACE TRIALS STRIDE

For every STRIDE-th operation: copies the run BASE to PLACE, lets a child process finish it with the trials
TRIALS (6: the first six; 2:6: without the first two) and die by SIGKILL before that operation, lets a second
child finish it undisturbed, and prints the operation's number, rows of `steps` and of current trials that
could be read in between, and what the run says at its end. Ends when the first child survives.
This process itself only forks, so no child inherits threads.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pandas  # noqa: F401 - pyarrow would import it anew in every child
import stored_runs

from orchestrator.runs.reader import Run

OPERATIONS = ("fsync", "replace", "mkdir", "unlink", "rmdir")


def in_child(work: Callable[[], None]) -> int:
    """Runs ``work`` in a forked process; returns how that ended, as ``os.waitstatus_to_exitcode`` says."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_before(point: int) -> None:
    """Lets this process end at its file operation number ``point``, counted from 0."""
    left = iter(range(point))

    def mortal(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, mortal(getattr(os, name)))


def main(base: Path, place: Path, trials: range, stride: int) -> None:
    os.fsync = int  # does nothing: what a kill leaves is in the page cache, so do not wait for the disk

    def finish() -> None:
        stored_runs.finish(place, trials)

    def finish_and_die(point: int) -> None:
        die_before(point)
        finish()

    def finish_and_print(point: int) -> None:
        there = (place / "run.json").exists()
        before = Run(place).steps.num_rows if there else 0  # what was left can be read as it is
        current = Run(place).count("done") if there else 0
        finish()
        print(point, before, current, stored_runs.said(place))

    for point in count(0, stride):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base, place)
        ended = in_child(lambda point=point: finish_and_die(point))
        if ended not in (0, -signal.SIGKILL) or in_child(lambda point=point: finish_and_print(point)):
            sys.exit(f"operation {point}: the driver ended with {ended}")
        if ended == 0:
            return


if __name__ == "__main__":
    base, place, trials, stride = sys.argv[1:]
    main(Path(base), Path(place), stored_runs.numbers(trials), int(stride))

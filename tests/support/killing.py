"""Kills a driver before each of its file operations in turn, finishes the run, prints its fingerprint.

    python killing.py BASE PATH TRIALS STRIDE

For every STRIDE-th operation, it copies the run BASE to PATH. A child process starts to finish the copy with
the trials TRIALS (6: the first six; 2:6: without the first two) and is killed by SIGKILL before that
operation. A second child finishes the copy undisturbed. It prints the number of the operation, the rows of
`steps` and the current trials that were readable in between, and the fingerprint of the finished run. The
script ends when the first child survives. This process itself only forks, so no child inherits threads.
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
    """Runs ``work`` in a forked process; returns its exit code as ``os.waitstatus_to_exitcode`` does."""
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
    """Kills this process before its file operation number ``point``, counted from 0."""
    left = iter(range(point))

    def mortal(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, mortal(getattr(os, name)))


def main(base: Path, path: Path, trials: range, stride: int) -> None:
    os.fsync = int  # does nothing: the page cache survives a kill, so there is no need to wait for the disk

    def finish() -> None:
        stored_runs.finish(path, trials)

    def finish_and_die(point: int) -> None:
        die_before(point)
        finish()

    def finish_and_print(point: int) -> None:
        exists = (path / "run.json").exists()
        before = Run(path).steps.num_rows if exists else 0  # readable as it is
        current = Run(path).count("done") if exists else 0
        finish()
        print(point, before, current, stored_runs.fingerprint(path))

    for point in count(0, stride):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(base, path)
        ended = in_child(lambda point=point: finish_and_die(point))
        if ended not in (0, -signal.SIGKILL) or in_child(lambda point=point: finish_and_print(point)):
            sys.exit(f"operation {point}: the driver ended with {ended}")
        if ended == 0:
            return


if __name__ == "__main__":
    base, path, trials, stride = sys.argv[1:]
    main(Path(base), Path(path), stored_runs.numbers(trials), int(stride))

"""Progress of a run, from its directory or object store alone."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.control import Control
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.base import explained
from orchestrator.runs.storage.opening import storage
from orchestrator.runs.storage.owner import Owner


@dataclass(frozen=True)
class Status:
    """Progress of a run.

    Attributes:
        ended: number of ended trials by status.
        others: number of ended trials that are no longer in the sweep. ``ended`` does not count them, unless
            all trials were requested.
        left: number of trials of the sweep that have not ended; None if no driver has reported it.
        rate: trial-steps per second from the start of the last driver to its last commit; None before one.
        committed_s: seconds since its last commit, or since its start; None if no driver has reported it.
        driver: the process that drives the run; None if there is none.
        finished: whether the tables are finished.
        unreadable: why the driver's report of its progress cannot be read; empty if it can.
    """

    ended: Mapping[str, int]
    others: int
    left: int | None
    rate: float | None
    committed_s: float | None
    driver: Owner | None
    finished: bool
    unreadable: str = ""


def status(path: str | os.PathLike[str], all_trials: bool = False) -> Status:
    """Returns the progress of a run, whether a driver is running or not.

    Args:
        path: the run directory, or its URI.
        all_trials: whether ``ended`` counts trials that are no longer in the sweep.

    Raises:
        RunDirectoryError: there is no run.
    """
    run, folder = Run(path), storage(path)
    trials = run.read("trials", ["status", "current"])
    current = trials["current"].to_numpy()
    statuses, others = trials["status"].to_numpy()[current | all_trials], int((~current).sum())
    names, counts = np.unique(statuses.astype(str), return_counts=True)
    ended = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    with explained(folder.root, "name the directory of a run"):
        driver = folder.owner()
    try:
        progress, unreadable = Control(folder).progress(), ""
    except RunDirectoryError as error:  # the rest does not need it
        progress, unreadable = None, str(error)
    if progress is None:
        return Status(ended, others, None, None, None, driver, run.finished, unreadable)
    seconds = progress.written_at - progress.started_at
    return Status(
        ended,
        others,
        left=progress.trials - progress.ended,
        rate=progress.steps / seconds if progress.steps and seconds > 0 else None,
        committed_s=max(0.0, time.time() - progress.written_at),
        driver=driver,
        finished=run.finished,
    )

"""How a run stands, from its directory or object store alone."""

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
    """How a run stands.

    Attributes:
        ended: trials by how they ended.
        others: ended trials that the sweep no longer names; they are not among ``ended``, unless all trials
            were asked for.
        left: trials of the sweep that have not ended; None if no driver has said how many there are.
        rate: trial-steps per second since the last driver began, up to its last commit; None before one.
        committed_s: seconds since its last commit, or since it began; None if no driver has written it.
        driver: the process at work on it; None if there is none.
        finished: whether its tables are finished.
        unreadable: why it is not known how far it is, though a driver has said so; else empty.
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
    """How the run at ``path``, a directory or a URI, stands, beside its driver or without one.

    Args:
        all_trials: whether trials that the sweep no longer names are counted in ``ended``.

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
    except RunDirectoryError as error:  # all else is known without it
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

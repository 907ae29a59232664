"""When workers were at work: ``advance`` with a line for each call in a file of its process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.driver import driver
from orchestrator.training.advance import Limits, advance
from orchestrator.training.loop import Chunk, Team
from orchestrator.training.pack import Pack


def timed(folder: str, team: Team, pack: Pack, limits: Limits) -> Chunk:
    """``advance``, which writes down when it began and ended, and the seconds that its gradients took."""
    begun = time.time()
    chunk = advance(team, pack, limits)
    steps = chunk.steps / len(pack.trials)
    gradients = chunk.shard_seconds * pack.template.batch.shards * steps
    with Path(folder, str(os.getpid())).open("a") as log:
        log.write(f"{begun} {time.time()} {gradients}\n")
    return chunk


@contextmanager
def calls(folder: Path) -> Iterator[None]:
    """The driver's calls are written down in ``folder``."""
    folder.mkdir()
    driver.advance = partial(timed, str(folder))  # type: ignore[assignment]
    try:
        yield
    finally:
        driver.advance = advance


@dataclass(frozen=True)
class Call:
    """Begin and end, in seconds since 1970, and the seconds that gradients took."""

    begin: float
    end: float
    gradients: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


def read(folder: Path) -> list[list[Call]]:
    """The calls of each process, in order."""
    logs = [log.read_text().splitlines() for log in folder.iterdir()]
    return [[Call(*map(float, line.split())) for line in lines] for lines in logs]


def share_of_gradients(calls: Sequence[Call]) -> float:
    """Part of the calls' time that gradients took."""
    return sum(call.gradients for call in calls) / sum(call.seconds for call in calls)


def share_busy(processes: Sequence[Sequence[Call]]) -> float:
    """Part of the time between the first call and the last in which the processes were at work."""
    every = [call for calls in processes for call in calls]
    span = max(call.end for call in every) - min(call.begin for call in every)
    return sum(call.seconds for call in every) / span / len(processes)

"""When workers were busy: ``advance``, with one log line per call in a file per process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

from orchestrator.driver import driver
from orchestrator.training.advance import Limits, advance
from orchestrator.training.loop import Chunk, Team
from orchestrator.training.pack import Pack


def timed(folder: str, team: Team, pack: Pack, limits: Limits) -> Chunk:
    """Calls ``advance``; logs its start, its end, and the seconds of its gradients."""
    begun = time.time()
    chunk = advance(team, pack, limits)
    steps = chunk.steps / len(pack.trials)
    gradients = chunk.shard_seconds * pack.template.batch.shards * steps
    with Path(folder, str(os.getpid())).open("a") as log:
        log.write(f"{begun} {time.time()} {gradients}\n")
    return chunk


@contextmanager
def calls(folder: Path) -> Iterator[None]:
    """Logs the driver's calls in ``folder`` while the context lasts."""
    folder.mkdir()
    with patch.object(driver, "advance", partial(timed, str(folder))):
        yield


@dataclass(frozen=True)
class Call:
    """Begin and end, in seconds since 1970, and the seconds of gradients."""

    begin: float
    end: float
    gradients: float

    @property
    def seconds(self) -> float:
        """Duration of the call."""
        return self.end - self.begin


def read(folder: Path) -> list[list[Call]]:
    """Returns the calls of each process, in order."""
    logs = [log.read_text().splitlines() for log in folder.iterdir()]
    return [[Call(*map(float, line.split())) for line in lines] for lines in logs]


def share_of_gradients(calls: Sequence[Call]) -> float:
    """Returns the share of gradients in the time of the calls."""
    return sum(call.gradients for call in calls) / sum(call.seconds for call in calls)


def share_busy(processes: Sequence[Sequence[Call]]) -> float:
    """Returns the share of time, between first and last call, in which the processes were busy."""
    all_calls = [call for calls in processes for call in calls]
    span = max(call.end for call in all_calls) - min(call.begin for call in all_calls)
    return sum(call.seconds for call in all_calls) / span / len(processes)

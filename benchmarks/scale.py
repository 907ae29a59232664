"""The scheduler beyond this machine: ``python -m benchmarks.scale [WORKERS:TRIALS …]``. Prints Markdown.

The pure state machine (plan, packs, scheduler) with workers that only count. Every worker holds a pack; packs
come back one by one, in order, and each is followed by the next decision, as in the driver.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gradients import machine
from orchestrator.driver.packs import Packer, PlannedPack, pack_size
from orchestrator.driver.scheduler import Assignment, Scheduler
from orchestrator.sweep.document import parse
from orchestrator.sweep.file import Sweep, plan

SIZES = ((100, 100_000), (1_000, 1_000_000), (10_000, 1_000_000), (10_000, 10_000_000))
CHUNK_SECONDS = 2.0
"""What the driver waits for a chunk at most, by default: every worker hands back this often."""

SWEEP = """
name: scale
base:
  data: {{source: moons, rows: 64}}
  model: {{kind: mlp, hidden: [2]}}
  loss: binary-cross-entropy
  gradient: {{engine: backprop}}
  updates: [{{optimizer: sgd, learning_rate: 0.1}}]
  batch: {{size: 8}}
  steps: 10
sweep:
  - updates.0.learning_rate: [0.1, 0.2, 0.3, 0.4]
  - seed: {{range: {seeds}}}
"""


@dataclass(frozen=True)
class Found:
    """What one simulation cost.

    Attributes:
        packs: handed out.
        planning: seconds that drawing packs from the plan took.
        deciding: seconds that the scheduler took beside that.
        peak: of the process, MiB.
        before: of the process before the simulation, MiB.
    """

    workers: int
    trials: int
    packs: int
    planning: float
    deciding: float
    peak: float
    before: float


class Timed:
    """Packs, and the seconds that drawing them took."""

    def __init__(self, packs: Iterator[PlannedPack]) -> None:
        self._packs, self.seconds = packs, 0.0

    def __iter__(self) -> Timed:
        return self

    def __next__(self) -> PlannedPack:
        begun = time.process_time()
        try:
            return next(self._packs)
        finally:
            self.seconds += time.process_time() - begun


def simulate(workers: int, trials: int) -> Found:
    """A sweep of so many trials on so many workers."""
    sweep = plan(parse(SWEEP.format(seeds=trials // 4), "scale.yaml"), Path())
    before = _peak()
    packs = Timed(Packer(sweep.plan, lambda structure: _size(sweep, workers)).packs())  # noqa: ARG005 - one size
    begun = time.process_time()
    count = play(Scheduler(packs, sweep.placement.shard_seconds), workers)
    seconds = time.process_time() - begun
    return Found(workers, trials, count, packs.seconds, seconds - packs.seconds, _peak(), before)


def _size(sweep: Sweep, workers: int) -> int:
    return pack_size(sweep, sweep.plan.structures[0], workers, sweep.plan.count)


def play(scheduler: Scheduler, workers: int) -> int:
    """Lets workers come back in turn until all is done; returns the number of packs handed out."""
    out: deque[Assignment] = deque()
    idle, count = workers, 0
    while not scheduler.finished:
        started = scheduler.start(idle, workers)
        out.extend(started)
        count, idle = count + len(started), idle - len(started)
        if out:
            (work,) = out.popleft().works
            scheduler.advanced(work, None, CHUNK_SECONDS, 0.0)
            idle += 1
    return count


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(found: Found) -> str:
    """A line of the table."""
    seconds = found.planning + found.deciding
    share = found.workers / CHUNK_SECONDS * found.deciding / found.packs
    cells = (
        f"{found.workers:,}",
        f"{found.trials:,}",
        f"{found.packs:,}",
        f"{found.packs / found.deciding:,.0f}",
        f"{share:.1%}",
        f"{found.trials / found.planning:,.0f}",
        f"{seconds:.1f}",
        f"{found.peak - found.before:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Simulates and prints everything, or what is named."""
    sizes = [tuple(map(int, pair.split(":"))) for pair in sys.argv[1:]] or SIZES
    print(machine() + "\n")
    print(
        "| workers | trials | packs | decisions/s | share of the driver's time | trials planned/s | s | MiB |"
    )
    print("|---" * 8 + "|")
    for workers, trials in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            print(row(fresh.apply(simulate, (workers, trials))), flush=True)


if __name__ == "__main__":
    main()

"""The scheduler with more workers than this machine has: ``python -m benchmarks.scale [WORKERS:TRIALS …]``.

Prints Markdown. Drives the pure state machine (plan, packs, scheduler) with simulated workers that compute
nothing. Every worker holds a pack. Packs are returned one by one, in order; the next decision follows each,
as in the driver.
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
"""The default of ``placement.chunk_seconds``: every worker returns a chunk this often."""

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
class Simulation:
    """Cost of one simulation.

    Attributes:
        workers: number of workers.
        trials: number of trials.
        packs: number of packs handed out.
        planning: CPU seconds to draw packs from the plan.
        deciding: other CPU seconds of the scheduler.
        peak: peak memory of the process, MiB.
        before: peak memory of the process before the simulation, MiB.
    """

    workers: int
    trials: int
    packs: int
    planning: float
    deciding: float
    peak: float
    before: float


class Timed:
    """An iterator over packs that adds up the CPU seconds of drawing them."""

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


def simulate(workers: int, trials: int) -> Simulation:
    """Simulates a sweep."""
    sweep = plan(parse(SWEEP.format(seeds=trials // 4), "scale.yaml"), Path())
    before = _peak()
    packs = Timed(Packer(sweep.plan, lambda structure: _size(sweep, workers)).packs())  # noqa: ARG005 - one size
    begun = time.process_time()
    count = play(Scheduler(packs, sweep.placement.shard_seconds), workers)
    seconds = time.process_time() - begun
    return Simulation(workers, trials, count, packs.seconds, seconds - packs.seconds, _peak(), before)


def _size(sweep: Sweep, workers: int) -> int:
    return pack_size(sweep, sweep.plan.structures[0], workers, sweep.plan.count)


def play(scheduler: Scheduler, workers: int) -> int:
    """Lets workers return their packs in turn until the end; returns the number of packs handed out."""
    running: deque[Assignment] = deque()
    idle, count = workers, 0
    while not scheduler.finished:
        started = scheduler.start(idle, workers)
        running.extend(started)
        count, idle = count + len(started), idle - len(started)
        if running:
            (work,) = running.popleft().works
            scheduler.advanced(work, None, CHUNK_SECONDS, 0.0)
            idle += 1
    return count


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(simulation: Simulation) -> str:
    """Returns a line of the table."""
    seconds = simulation.planning + simulation.deciding
    share = simulation.workers / CHUNK_SECONDS * simulation.deciding / simulation.packs
    cells = (
        f"{simulation.workers:,}",
        f"{simulation.trials:,}",
        f"{simulation.packs:,}",
        f"{simulation.packs / simulation.deciding:,.0f}",
        f"{share:.1%}",
        f"{simulation.trials / simulation.planning:,.0f}",
        f"{seconds:.1f}",
        f"{simulation.peak - simulation.before:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Simulates all sizes, or those in the arguments, and prints the table."""
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

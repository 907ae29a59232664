"""The sweeps of ``benchmarks.sweep``: their files, sizes and timing."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.api.placing import Where
from orchestrator.api.running import Watcher, open_run, run
from orchestrator.driver.driver import Progress
from orchestrator.reports.query import query

WORKERS = 2
ALL = Where(workers=WORKERS)
NETWORK = """
name: network
base:
  data: {source: breast-cancer, features: 8, scale: none}
  model: {kind: mlp, hidden: [10], activation: relu, output: sigmoid}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.01}]
  batch: {size: 64}
"""
CIRCUIT = """
name: circuit
base:
  data: {source: breast-cancer, features: 4, scale: angle}
  model: {kind: circuit, qubits: 4, layers: 4}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 32}
  steps: 20
"""
PROBE = """
name: probe
base:
  mode: probe
  model: {kind: circuit, qubits: 4, layers: 2}
  loss: expectation
  gradient: {engine: adjoint}
  batch: {size: 1}
  steps: 1
"""
LARGE = """
name: large
base:
  data: {source: breast-cancer, features: 12, scale: angle}
  model: {kind: circuit, qubits: 12, layers: 4}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 256, shards: 2}
"""


@dataclass(frozen=True)
class Size:
    """The size of the measurements.

    Attributes:
        trials: numbers of trials of the network, in the smaller and in the larger of two sweeps.
        peers: the same for Ray Tune.
        circuits: number of trials of the circuit.
        steps: number of steps of the large trial.
        warm: number of its last steps that are timed; in those before, its helper loads its libraries.
        gradients: number of gradients of each independent process.
        small_steps: number of steps of the small trial.
        repeats: repetitions of the large and of the small trial.
        probes: number of one-step probes of each sweep.
    """

    trials: tuple[int, int] = (1_000, 11_000)
    peers: tuple[int, int] = (100, 300)
    circuits: int = 10_000
    steps: int = 160
    warm: int = 60
    gradients: int = 40
    small_steps: int = 4_000
    repeats: int = 5
    probes: tuple[int, ...] = (10_000, 100_000)


FULL = Size()
SMALL = Size((10, 20), (1, 2), 20, 3, 2, 2, 20, 1, (20,))
"""Measures nothing: shows within seconds that everything runs."""


def seeds(trials: int) -> str:
    """Returns the axes of a sweep whose trials differ in the seed only."""
    return f"sweep: [{{seed: {{range: {trials}}}}}]\n"


class Clock(Watcher):
    """Records the time of the last results, and the peak memory of this process up to compaction."""

    last = peak = 0.0
    _steps = 0

    def advanced(self, progress: Progress) -> None:
        """Records the time if steps were added."""
        if progress.steps != self._steps:
            self._steps, self.last = progress.steps, time.time()

    def compacting(self) -> None:
        """Records the peak memory."""
        self.peak = peak_mib()


def peak_mib() -> float:
    """Returns the peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sweep(text: str, folder: Path, where: Where = ALL) -> tuple[float, float]:
    """Runs a sweep file in a new folder.

    Returns:
        Seconds of the whole call, and of the part from the start of the first trial to the last results.
    """
    folder.mkdir()
    file, clock = folder / "sweep.yaml", Clock()
    file.write_text(text)
    begun = time.time()
    result = run(file, folder / "run", where=where, watcher=clock)
    ended = time.time()
    if result.exit_code or not result.finished:
        raise SystemExit(f"the sweep failed: {result}")
    ((moment,),) = query(open_run(folder / "run"), "select min(started_at) from trials").rows
    first = datetime.fromisoformat(moment).timestamp()
    return ended - begun, clock.last - first

"""Whole sweeps as ``benchmarks.sweep`` runs them: what they compute, how large they are, how one is timed."""

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
    """How much is measured.

    Attributes:
        trials: of the network, in the smaller and in the larger of two sweeps.
        peers: the same for Ray Tune.
        circuits: trials of the circuit.
        steps: of the large trial; before the last ``warm`` of them its helper loads what it needs.
        gradients: that a process by itself computes, as many for each.
        small_steps: of the small trial.
        repeats: of the large and of the small trial.
        probes: one-step probes, of each sweep.
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
"""Measures nothing: shows within seconds that all of it works."""


def seeds(trials: int) -> str:
    """The axis of a sweep whose trials differ in the seed only."""
    return f"sweep: [{{seed: {{range: {trials}}}}}]\n"


class Clock(Watcher):
    """Notes when the last rows came back, and the peak of this process's memory until then."""

    last = peak = 0.0
    _steps = 0

    def advanced(self, progress: Progress) -> None:
        """Something has come back, or nothing for a while."""
        if progress.steps != self._steps:
            self._steps, self.last = progress.steps, time.time()

    def compacting(self) -> None:
        """All trials have ended."""
        self.peak = peak_mib()


def peak_mib() -> float:
    """The peak of this process's memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sweep(text: str, folder: Path, where: Where = ALL) -> tuple[float, float]:
    """Runs a sweep file in a new folder.

    Returns:
        Seconds of the whole call, and of it those from the start of the first trial until the last rows had
        come back.
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

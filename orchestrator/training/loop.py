"""What training and probing share: the pack's place, its gradients, its rows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum, Shard, Summed
from orchestrator.groups import Array
from orchestrator.models.scores import Scores
from orchestrator.training.batches import Batches
from orchestrator.training.ended import trial_rows
from orchestrator.training.evaluate import untested
from orchestrator.training.pack import Pack
from orchestrator.training.recorder import ColumnArrays, Recorder, RowArrays, Seconds, join_rows
from orchestrator.training.state import PackState, Totals
from orchestrator.trial.pinned import Pinned, made_ready
from orchestrator.updates.chain import Chain

Sum = TypeVar("Sum", bound=Summed)


class Team(Protocol):
    """The workers that a running task may use: its own, and those lent to it."""

    @property
    def size(self) -> int:
        """Number of workers, the task's own included."""

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """``[function(shared, item) for item in items]``, spread over the workers.

        ``shared`` travels once to each worker. What ``function`` raises, ``map`` raises.

        Raises:
            WorkerLost: a worker died.
        """


@dataclass(frozen=True)
class Chunk:
    """Some steps of a pack.

    Attributes:
        rows: by table: ``steps``, ``gradients``, and for trials that ended ``trials``, ``parameters``.
        pack: the trials that go on, with their state; None when all have ended.
        steps: trial-steps done.
        seconds: wall time of the call that returned the chunk.
        shard_seconds: what computing one shard cost on average.
        loss: mean finite loss of the last step; NaN if there is none.
    """

    rows: RowArrays
    pack: Pack | None
    steps: int
    seconds: float
    shard_seconds: float
    loss: float


@np.errstate(all="ignore")  # what is not finite ends its trial; `advance` sees to that
def shard_gradient(shared: tuple[Pinned, Array], shard: Shard) -> tuple[GradientSum, float]:
    """Gradient of one shard at ``shared`` = (structure, parameters [R, P]), and the seconds it took.

    The metric goes with it if an update of the structure needs one.
    """
    pinned, parameters = shared
    ready = made_ready(pinned)
    differentiator = ready.differentiator
    started = time.perf_counter()
    total = differentiator.gradient(parameters, shard)
    if ready.metric is not None:
        total = replace(total, metric=ready.metric.weighted_sum(parameters, shard))
    return total, time.perf_counter() - started


class Loop(ABC):
    """A pack on its way through some of its steps.

    Attributes:
        pack: the trials that have not ended, and the step they stand at.
        state: theirs; what ``pack.vectors`` holds is out of date.
        ids: [R] theirs.
        seeds: uint64 [R] theirs.
    """

    state: PackState

    def __init__(self, team: Team, pack: Pack) -> None:
        self._started = time.perf_counter()
        self.team, self.pack, self.first_step = team, pack, pack.step
        self.template = pack.template
        self.problem = made_ready(pack.pinned)
        self.certificate = self.problem.certificate
        self.recorder = Recorder(self.problem, pack.template.record)
        self.chain = Chain.of([trial.updates for trial in pack.trials], self.problem.model.groups)
        self._set_trials()
        self._ended_rows: list[RowArrays] = []
        self._steps = self._shards = 0
        self._compute, self._loss = 0.0, float("nan")

    def _set_trials(self) -> None:
        self.ids = np.array(self.pack.ids)
        self.seeds = np.array([trial.seed for trial in self.pack.trials], np.uint64)
        self.batches = Batches(self.problem.data, self.template.batch, self.problem.model.samples, self.seeds)

    @abstractmethod
    def run_steps(self, most: int | None) -> None:
        """One call of the engine: at least one step of every trial, at most ``most`` of the chunk.

        If it raises, the steps before it must be done anew.
        """

    @abstractmethod
    def complete(self) -> None:
        """Ends all trials after their last step."""

    @property
    def left(self) -> int:
        """Steps still to be done; 0 when no trial goes on."""
        return self.template.steps - self.pack.step if self.pack.trials else 0

    @property
    def done(self) -> int:
        """Steps done in this chunk."""
        return self.pack.step - self.first_step

    def chunk(self) -> Chunk:
        """What has been done."""
        rows = join_rows([self.recorder.rows(), *self._ended_rows])
        rest = replace(self.pack, vectors=self.state.flatten(self.chain)) if self.left else None
        seconds = time.perf_counter() - self._started
        return Chunk(rows, rest, self._steps, seconds, self._compute / max(1, self._shards), self._loss)

    def gradient(self, parameters: Array, shards: list[Shard]) -> tuple[GradientSum, Seconds]:
        """The gradient of the mini-batch, and what it took."""
        return self.sum_shards(shard_gradient, (self.pack.pinned, parameters), shards)

    def sum_shards(
        self, function: Callable[[Any, Shard], tuple[Sum, float]], shared: Any, shards: list[Shard]
    ) -> tuple[Sum, Seconds]:
        """What ``function`` gives for each shard, summed in shard order, and what that took.

        Args:
            function: of ``shared`` and a shard; returns its part of the sum, and seconds.
        """
        started = time.perf_counter()
        parts = self.team.map(function, shared, shards)
        compute = sum(seconds for _, seconds in parts)
        self._compute += compute
        self._shards += len(parts)
        wait = max(0.0, time.perf_counter() - started - compute / self.team.size)
        total = reduce(add, (total for total, _ in parts))
        if not self.problem.model.samples.independent:  # moments are what variances over samples follow from
            total = replace(total, moments=None)
        return total, Seconds(compute, wait)

    def count_steps(self, total: GradientSum, ran: NDArray[np.bool_], seconds: Seconds) -> None:
        """Books k steps of R trials, of which ``ran`` [R, k] count."""
        trials, steps = ran.shape
        totals = self.state.totals.after(total, ran, seconds.compute / trials, seconds.wait / trials)
        self.state = replace(self.state, totals=totals)
        self.pack = replace(self.pack, step=self.pack.step + steps)
        self._steps += int(ran.sum())
        finite = totals.final_loss[np.isfinite(totals.final_loss)]
        self._loss = float(finite.mean()) if len(finite) else float("nan")

    def end_finished(self, finite: NDArray[np.bool_]) -> None:
        """Ends the trials whose numbers are not ``finite`` [R]; the others too, if no step is left."""
        if not finite.all():
            self._end_some(~finite, "diverged")
        if self.pack.trials and not self.left:
            self.complete()

    def _end_some(self, leaving: NDArray[np.bool_], status: str) -> None:
        """Ends some of the trials and goes on with the others."""
        gone, stay = np.flatnonzero(leaving), np.flatnonzero(~leaving)
        totals = self.state.totals.take(gone)
        self._add_trial_rows(self.pack.take(gone.tolist()), status, totals, untested(len(gone)))
        self.pack = self.pack.take(stay.tolist())
        self.state, self.chain = self.state.take(stay), self.chain.take(stay)
        self._set_trials()

    def end_all(self, scores: Scores) -> None:
        """Writes the rows of the trials, which are done."""
        self._add_trial_rows(self.pack, "done", self.state.totals, scores)

    def _add_trial_rows(self, pack: Pack, status: str, totals: Totals, scores: Scores) -> None:
        self.add_rows("trials", trial_rows(pack, status, totals, scores, self.certificate))

    def add_rows(self, table: str, columns: ColumnArrays) -> None:
        """Adds rows to a table."""
        self._ended_rows.append({table: columns})


def all_finite(total: GradientSum) -> NDArray[np.bool_]:
    """[R] whether the loss and every component of the gradient are finite."""
    return np.isfinite(total.loss) & np.isfinite(total.gradient).all(-1)

"""The base class of training and probing: a pack's state, its gradients, its rows."""

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
from orchestrator.trial.pinned import Pinned, load_problem
from orchestrator.updates.chain import Chain

Sum = TypeVar("Sum", bound=Summed)


class Team(Protocol):
    """The workers that a running task may use: its own, and workers lent to it."""

    @property
    def size(self) -> int:
        """Number of workers, including the task's own."""

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """Returns ``[function(shared, item) for item in items]``, computed by all workers.

        ``shared`` is sent once to each worker.

        Raises:
            WorkerLost: a worker died.
            Exception: ``function`` raised it.
        """


@dataclass(frozen=True)
class Chunk:
    """Some steps of a pack.

    Attributes:
        rows: by table: ``steps``, ``gradients``, and for ended trials ``trials``, ``parameters``.
        pack: the trials that have not ended, with their state; None if all have ended.
        steps: number of steps done, summed over trials.
        seconds: wall time of the call that returned the chunk.
        shard_seconds: mean time to compute one shard.
        loss: mean of the finite losses of the last step; NaN if there are none.
    """

    rows: RowArrays
    pack: Pack | None
    steps: int
    seconds: float
    shard_seconds: float
    loss: float


@np.errstate(all="ignore")  # a value that is not finite ends its trial; see `Loop.end_finished`
def shard_gradient(shared: tuple[Pinned, Array], shard: Shard) -> tuple[GradientSum, float]:
    """Returns a shard's gradient at ``shared`` = (structure, parameters [R, P]), and the seconds it took.

    It includes the metric if an update of the structure needs one.
    """
    pinned, parameters = shared
    ready = load_problem(pinned)
    differentiator = ready.differentiator
    started = time.perf_counter()
    total = differentiator.gradient(parameters, shard)
    if ready.metric is not None:
        total = replace(total, metric=ready.metric.weighted_sum(parameters, shard))
    return total, time.perf_counter() - started


class Loop(ABC):
    """Advances a pack by some steps.

    Attributes:
        pack: the trials that have not ended, and their step; its ``vectors`` are out of date.
        state: of the trials.
        ids: [R] of the trials.
        seeds: uint64 [R] of the trials.
    """

    state: PackState

    def __init__(self, team: Team, pack: Pack) -> None:
        self._started = time.perf_counter()
        self.team, self.pack, self.first_step = team, pack, pack.step
        self.template = pack.template
        self.problem = load_problem(pack.pinned)
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
        """Runs one call of the engine: at least one step of every trial.

        If it raises, the chunk is invalid: its earlier steps must be computed again.

        Args:
            most: largest number of steps in the chunk, earlier calls included; None for any number.
        """

    @abstractmethod
    def complete(self) -> None:
        """Ends all trials after their last step."""

    @property
    def left(self) -> int:
        """Number of steps to go; 0 if all trials have ended."""
        return self.template.steps - self.pack.step if self.pack.trials else 0

    @property
    def done(self) -> int:
        """Number of steps done in this chunk."""
        return self.pack.step - self.first_step

    def chunk(self) -> Chunk:
        """Returns the steps done so far, as a chunk."""
        rows = join_rows([self.recorder.rows(), *self._ended_rows])
        rest = replace(self.pack, vectors=self.state.flatten(self.chain)) if self.left else None
        seconds = time.perf_counter() - self._started
        return Chunk(rows, rest, self._steps, seconds, self._compute / max(1, self._shards), self._loss)

    def gradient(self, parameters: Array, shards: list[Shard]) -> tuple[GradientSum, Seconds]:
        """Returns the gradient of the mini-batch, and the time it took."""
        return self.sum_shards(shard_gradient, (self.pack.pinned, parameters), shards)

    def sum_shards(
        self, function: Callable[[Any, Shard], tuple[Sum, float]], shared: Any, shards: list[Shard]
    ) -> tuple[Sum, Seconds]:
        """Returns the sum of ``function`` over the shards, in shard order, and the time it took.

        Args:
            function: of ``shared`` and a shard; returns the shard's summand, and the seconds it took.
            shared: sent once to each worker.
            shards: of the mini-batch.
        """
        started = time.perf_counter()
        parts = self.team.map(function, shared, shards)
        compute = sum(seconds for _, seconds in parts)
        self._compute += compute
        self._shards += len(parts)
        wait = max(0.0, time.perf_counter() - started - compute / self.team.size)
        total = reduce(add, (total for total, _ in parts))
        if not self.problem.model.samples.independent:  # moments give variances of independent samples
            total = replace(total, moments=None)
        return total, Seconds(compute, wait)

    def count_steps(self, total: GradientSum, ran: NDArray[np.bool_], seconds: Seconds) -> None:
        """Adds k steps of R trials to their totals; ``ran`` [R, k] is true for steps that count."""
        trials, steps = ran.shape
        totals = self.state.totals.after(total, ran, seconds.compute / trials, seconds.wait / trials)
        self.state = replace(self.state, totals=totals)
        self.pack = replace(self.pack, step=self.pack.step + steps)
        self._steps += int(ran.sum())
        finite = totals.final_loss[np.isfinite(totals.final_loss)]
        self._loss = float(finite.mean()) if len(finite) else float("nan")

    def end_finished(self, finite: NDArray[np.bool_]) -> None:
        """Ends trials that are not ``finite`` [R] as diverged; completes the others after the last step."""
        if not finite.all():
            self._end_some(~finite, "diverged")
        if self.pack.trials and not self.left:
            self.complete()

    def _end_some(self, leaving: NDArray[np.bool_], status: str) -> None:
        """Ends the trials in ``leaving`` [R] and keeps the others."""
        ended, kept = np.flatnonzero(leaving), np.flatnonzero(~leaving)
        totals = self.state.totals.take(ended)
        self._add_trial_rows(self.pack.take(ended.tolist()), status, totals, untested(len(ended)))
        self.pack = self.pack.take(kept.tolist())
        self.state, self.chain = self.state.take(kept), self.chain.take(kept)
        self._set_trials()

    def end_all(self, scores: Scores) -> None:
        """Adds the rows of all trials, with status done."""
        self._add_trial_rows(self.pack, "done", self.state.totals, scores)

    def _add_trial_rows(self, pack: Pack, status: str, totals: Totals, scores: Scores) -> None:
        self.add_rows("trials", trial_rows(pack, status, totals, scores, self.certificate))

    def add_rows(self, table: str, columns: ColumnArrays) -> None:
        """Adds rows to a table."""
        self._ended_rows.append({table: columns})


def all_finite(total: GradientSum) -> NDArray[np.bool_]:
    """[R] true if the loss and every component of the gradient are finite."""
    return np.isfinite(total.loss) & np.isfinite(total.gradient).all(-1)

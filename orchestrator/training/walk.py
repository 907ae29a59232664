"""What training and probing share: the pack's place, its costs, its rows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum, Shard
from orchestrator.models import losses
from orchestrator.sweep.problem import problem
from orchestrator.sweep.trial import Trial
from orchestrator.traces.statistics import Recorded
from orchestrator.training.batches import Batches
from orchestrator.training.ended import trial_rows
from orchestrator.training.pack import Array, Pack
from orchestrator.training.recorder import Columns, Recorder, Rows, join_rows
from orchestrator.training.state import State, Totals
from orchestrator.updates.chain import Chain

Pair = tuple[Array, Array]


class Team(Protocol):
    """What computes the shards of a step: this process, or several."""

    @property
    def size(self) -> int: ...
    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]: ...


@dataclass(frozen=True)
class Chunk:
    """Some steps of a pack.

    Attributes:
        rows: by table: ``steps``, ``gradients``, and for trials that ended ``trials``, ``parameters``.
        pack: the trials that go on, with their state; None when all have ended.
        steps: trial-steps done.
        shard_seconds: what computing one shard cost on average.
        loss: mean finite loss of the last step; NaN if there is none.
    """

    rows: Rows
    pack: Pack | None
    steps: int
    shard_seconds: float
    loss: float


@dataclass(frozen=True)
class Cost:
    """Seconds that a call took: computing, and waiting for it beyond that."""

    compute: float
    wait: float


def shard_gradient(shared: tuple[Trial, Array], shard: Shard) -> tuple[GradientSum, float]:
    """Gradient of one shard at ``shared`` = (template, parameters [R, P]), and the seconds it took."""
    template, parameters = shared
    differentiator = problem(template).differentiator
    started = time.perf_counter()
    total = differentiator.gradient(parameters, shard)
    return total, time.perf_counter() - started


class Walk(ABC):
    """A pack on its way through some of its steps."""

    state: State

    def __init__(self, team: Team, pack: Pack) -> None:
        self.team, self.pack, self.first = team, pack, pack.step
        self.template = pack.template
        self.problem = problem(pack.template)
        self.certificate = self.problem.certificate
        self.recorder = Recorder(self.problem, pack.template.record)
        self.chain = Chain.of([trial.updates for trial in pack.trials])
        self._index()
        self._ended: list[Rows] = []
        self._steps = 0
        self._compute = self._shards = 0.0
        self._loss = float("nan")

    def _index(self) -> None:
        self.ids = np.array(self.pack.ids)
        self.seeds = np.array([trial.seed for trial in self.pack.trials], np.uint64)
        self.batches = Batches(self.problem.data, self.template.batch, self.seeds)

    @abstractmethod
    def go(self, most: int | None) -> None:
        """One call of the engine: at least one step of every trial, at most ``most`` of the chunk."""

    @property
    def left(self) -> int:
        """Steps still to be done; 0 when no trial goes on."""
        return self.template.steps - self.pack.step if self.pack.trials else 0

    @property
    def done(self) -> int:
        """Steps done in this chunk."""
        return self.pack.step - self.first

    def chunk(self) -> Chunk:
        """What has been done."""
        rows = join_rows([self.recorder.rows(), *self._ended])
        rest = replace(self.pack, vectors=self.state.flatten(self.chain)) if self.left else None
        return Chunk(rows, rest, self._steps, self._compute / max(1.0, self._shards), self._loss)

    def gradient(self, parameters: Array, shards: list[Shard]) -> tuple[GradientSum, Cost]:
        """The sum over all shards, in shard order, and what it cost."""
        started = time.perf_counter()
        parts = self.team.map(shard_gradient, (self.template, parameters), shards)
        compute = sum(part[1] for part in parts)
        self._compute += compute
        self._shards += len(parts)
        wait = max(0.0, time.perf_counter() - started - compute / self.team.size)
        return reduce(add, (part[0] for part in parts)), Cost(compute, wait)

    def count(self, total: GradientSum, cost: Cost, steps: int) -> None:
        """Books steps that were done."""
        trials = len(self.ids)
        totals = self.state.totals.after(total, cost.compute / trials, cost.wait / trials)
        self.state = replace(self.state, totals=totals)
        self.pack = replace(self.pack, step=self.pack.step + steps)
        self._steps += trials * steps
        finite = total.loss[np.isfinite(total.loss)]
        self._loss = float(finite.mean()) if len(finite) else float("nan")

    def test(self, parameters: Array, axes: NDArray[np.int8]) -> Pair:
        """Loss and accuracy [R] on the test part; NaN where there is none."""
        data, head = self.problem.data, self.problem.model.head
        rows = len(parameters)
        if not len(data.test_inputs):
            return self.untested()
        inputs = np.ascontiguousarray(np.broadcast_to(data.test_inputs, (rows, *data.test_inputs.shape)))
        targets = np.ascontiguousarray(np.broadcast_to(data.test_targets, (rows, len(data.test_targets))))
        with np.errstate(all="ignore"):
            prediction = self.problem.differentiator.predict(parameters, inputs, axes)
            loss, _ = losses.value_and_slope(self.problem.loss, head, prediction, targets, data.classes)
            accuracy = losses.accuracy(head, prediction, targets) if data.classes else self.untested()[1]
        return loss.sum(-1) / loss.shape[1], accuracy

    def untested(self) -> Pair:
        """What stands where no test was due."""
        undefined = np.full(len(self.ids), np.nan)
        return undefined, undefined

    def end(self, rows: NDArray[np.intp], status: str, tests: Pair) -> None:
        """Writes the rows of trials that have ended."""
        table = trial_rows(self.pack, rows, status, self.state.totals, tests, self.certificate)
        self._ended.append({"trials": table})

    def leave(self, table: str, columns: Columns) -> None:
        """Adds rows to a table."""
        self._ended.append({table: columns})

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Goes on with some of the trials."""
        self.pack = self.pack.take([int(row) for row in rows])
        self.state, self.chain = self.state.take(rows), self.chain.take(rows)
        self._index()


def start_totals(rows: int) -> Totals:
    """The totals of trials that start now."""
    return Totals.start(rows, time.time())


def all_finite(total: GradientSum) -> NDArray[np.bool_]:
    """[R] whether the loss and every component of the gradient are finite."""
    return np.isfinite(total.loss) & np.isfinite(total.gradient).all(-1)


def step_columns(
    total: GradientSum, finite: NDArray[np.bool_], tests: Pair, learning_rate: Array, cost: Cost
) -> Columns:
    """The columns of ``steps`` that need no statistics."""
    rows = len(total.loss)
    return {
        "loss": total.loss,
        "test_loss": tests[0],
        "test_accuracy": tests[1],
        "learning_rate": learning_rate,
        "finite": finite,
        "executions": total.executions,
        "shots": total.shots,
        "qpu_seconds": total.qpu_seconds,
        "seconds_compute": np.full(rows, cost.compute / rows),
        "seconds_wait": np.full(rows, cost.wait / rows),
    }


def recorded(
    total: GradientSum, clipped: Array, update: Array | None, parameters: Array, previous: Array | None
) -> Recorded:
    """What the statistics are computed from."""
    return Recorded(
        gradient=total.gradient,
        clipped=clipped,
        update=update,
        parameters=parameters,
        previous=previous,
        square=total.square,
        noise=total.noise,
        noise_first=total.noise_first,
        weight_square=total.weight_square,
        signal=total.signal,
        signal_square=total.signal_square,
        exact=not total.shots.any(),
    )

"""The state of a trial after a step, as one vector of numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.groups import Array
from orchestrator.updates.chain import Chain, ChainState


@dataclass(frozen=True)
class Totals:
    """Running totals of R trials, each float64 [R].

    Attributes:
        steps: number of steps that ran.
        started_at: seconds since 1970; NaN if unknown.
    """

    steps: Array
    final_loss: Array
    best_loss: Array
    executions: Array
    shots: Array
    qpu_seconds: Array
    seconds_compute: Array
    seconds_wait: Array
    started_at: Array

    @classmethod
    def start(cls, rows: int, now: float) -> Self:
        """Returns totals before the first step, at ``now`` seconds since 1970."""
        zeros, undefined = np.zeros(rows), np.full(rows, np.nan)
        return cls(zeros, undefined, undefined, zeros, zeros, zeros, zeros, zeros, np.full(rows, now))

    @classmethod
    def restore(cls, vectors: Array) -> Self:
        """Returns the totals in vectors from ``PackState.flatten``."""
        return cls(*np.ascontiguousarray(vectors[:, -len(fields(cls)) :].T))

    def after(self, total: GradientSum, ran: NDArray[np.bool_], compute: float, wait: float) -> Totals:
        """Returns the totals after up to k more steps of each trial.

        Args:
            total: of R·k rows: k steps of each trial in order, trials outermost.
            ran: [R, k] true for steps that count: the first ones of each trial, at least one.
            compute: seconds that each trial took.
            wait: seconds that each trial waited.
        """
        loss = total.loss.reshape(ran.shape)
        finite = np.where(ran & np.isfinite(loss), loss, np.nan)
        last = ran.sum(-1, keepdims=True) - 1

        def counted(values: Array) -> Array:
            return np.asarray(np.where(ran, values.reshape(ran.shape), 0.0).sum(-1))

        return Totals(
            steps=self.steps + ran.sum(-1),
            final_loss=np.take_along_axis(loss, last, 1)[:, 0],
            best_loss=np.fmin(self.best_loss, np.fmin.reduce(finite, axis=1)),
            executions=self.executions + counted(total.cost.executions),
            shots=self.shots + counted(total.cost.shots),
            qpu_seconds=self.qpu_seconds + counted(total.cost.qpu_seconds),
            seconds_compute=self.seconds_compute + compute,
            seconds_wait=self.seconds_wait + wait,
            started_at=self.started_at,
        )

    def take(self, rows: NDArray[np.intp]) -> Totals:
        """Returns the totals of some rows."""
        return Totals(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True)
class PackState:
    """R trials between two steps.

    Attributes:
        parameters: [R, P]; P = 0 for a probe, which keeps none.
        previous: [R, P] gradient of the previous step; NaN before the first step.
        chain: state of the updates.
        totals: costs and losses of the trials so far.
    """

    parameters: Array
    previous: Array
    chain: ChainState
    totals: Totals

    @classmethod
    def start(cls, parameters: Array, chain: Chain, now: float) -> PackState:
        """Returns the state before the first step, at ``now`` seconds since 1970."""
        rows, count = parameters.shape
        return cls(parameters, np.full((rows, count), np.nan), chain.init(count), Totals.start(rows, now))

    @classmethod
    def restore(cls, vectors: Array, chain: Chain, count: int) -> PackState:
        """Inverts ``flatten``, for ``count`` parameters."""
        parameters, previous = (np.ascontiguousarray(vectors[:, k * count : (k + 1) * count]) for k in (0, 1))
        remembered = vectors[:, 2 * count : vectors.shape[1] - len(fields(Totals))]
        return cls(parameters, previous, chain.unflatten(remembered, count), Totals.restore(vectors))

    def flatten(self, chain: Chain) -> Array:
        """Returns the whole state, float64 [R, W], a row per trial."""
        totals = np.stack(list(vars(self.totals).values()), axis=1)
        return np.concatenate([self.parameters, self.previous, chain.flatten(self.chain), totals], axis=1)

    def take(self, rows: NDArray[np.intp]) -> PackState:
        """Returns the state of some rows."""
        return PackState(
            self.parameters[rows], self.previous[rows], self.chain.take(rows), self.totals.take(rows)
        )

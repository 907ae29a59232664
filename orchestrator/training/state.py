"""What a trial needs to go on after its last step, as one vector of numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.updates.chain import Chain, ChainState

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """Running totals of R trials, each float64 [R].

    Attributes:
        started_at: seconds since 1970.
    """

    final_loss: Array
    best_loss: Array
    executions: Array
    shots: Array
    qpu_seconds: Array
    seconds_compute: Array
    seconds_wait: Array
    started_at: Array

    @classmethod
    def start(cls, rows: int, now: float) -> Totals:
        """Before the first step."""
        zeros, undefined = np.zeros(rows), np.full(rows, np.nan)
        return cls(undefined, undefined, zeros, zeros, zeros, zeros, zeros, np.full(rows, now))

    def after(self, total: GradientSum, compute: float, wait: float) -> Totals:
        """After steps that took ``compute`` and ``wait`` seconds of each trial.

        ``total`` holds R·k rows, trials outermost: k steps of each trial, in order.
        """
        rows = len(self.started_at)
        loss = total.loss.reshape(rows, -1)
        finite = np.where(np.isfinite(loss), loss, np.nan)
        return Totals(
            final_loss=loss[:, -1],
            best_loss=np.fmin(self.best_loss, np.fmin.reduce(finite, axis=1)),
            executions=self.executions + total.executions.reshape(rows, -1).sum(-1),
            shots=self.shots + total.shots.reshape(rows, -1).sum(-1),
            qpu_seconds=self.qpu_seconds + total.qpu_seconds.reshape(rows, -1).sum(-1),
            seconds_compute=self.seconds_compute + compute,
            seconds_wait=self.seconds_wait + wait,
            started_at=self.started_at,
        )

    def take(self, rows: NDArray[np.intp]) -> Totals:
        """The totals of some rows."""
        return Totals(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True)
class State:
    """R trials between two steps.

    Attributes:
        parameters: [R, P]; P = 0 for a probe, which keeps none.
        previous: [R, P] gradient of the step before, NaN before the first.
        chain: what the updates remember.
    """

    parameters: Array
    previous: Array
    chain: ChainState
    totals: Totals

    @classmethod
    def start(cls, parameters: Array, chain: Chain, totals: Totals) -> State:
        """Before the first step."""
        rows, count = parameters.shape
        return cls(parameters, np.full((rows, count), np.nan), chain.init(count), totals)

    @classmethod
    def restore(cls, vectors: Array, chain: Chain, count: int) -> State:
        """The inverse of ``flatten``, for ``count`` parameters."""
        tail = vectors.shape[1] - len(fields(Totals))
        totals = Totals(*np.ascontiguousarray(vectors[:, tail:].T))
        remembered = chain.unflatten(vectors[:, 2 * count : tail], count)
        parameters, previous = (np.ascontiguousarray(vectors[:, k * count : (k + 1) * count]) for k in (0, 1))
        return cls(parameters, previous, remembered, totals)

    def flatten(self, chain: Chain) -> Array:
        """[R, W]"""
        totals = np.stack(list(vars(self.totals).values()), axis=1)
        return np.concatenate([self.parameters, self.previous, chain.flatten(self.chain), totals], axis=1)

    def take(self, rows: NDArray[np.intp]) -> State:
        """The state of some rows."""
        return State(
            self.parameters[rows], self.previous[rows], self.chain.take(rows), self.totals.take(rows)
        )

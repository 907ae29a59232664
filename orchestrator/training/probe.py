"""Probing: independent steps, each at fresh random parameters, many in one call of the engine."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.groups import Array
from orchestrator.training.batches import row_streams
from orchestrator.training.evaluate import untested
from orchestrator.training.loop import Loop, Team, all_finite
from orchestrator.training.pack import Pack
from orchestrator.training.recorder import Seconds, StepRows, recorded, step_columns
from orchestrator.training.state import PackState
from orchestrator.trial.problem import shard_bytes

_CALL_BYTES = 128 << 20
_FIRST_ROWS = 64
_CALL_SECONDS = 0.2
"""Calls get more rows until one takes this long; longer calls are no more efficient."""


class Probe(Loop):
    """Computes gradients at random parameters, without updates."""

    def __init__(self, team: Team, pack: Pack) -> None:
        super().__init__(team, pack)
        if pack.vectors is None:
            self.state = PackState.start(np.zeros((len(self.ids), 0)), self.chain, time.time())
        else:
            self.state = PackState.restore(pack.vectors, self.chain, 0)
        self._steps_per_call = min(self._most_steps(), max(1, _FIRST_ROWS // len(self.ids)))

    def _most_steps(self) -> int:
        """Number of steps that fit into the memory of one call."""
        trials = len(self.ids)
        recorded_bytes = 10 * 8 * self.problem.model.parameters * trials
        return max(1, _CALL_BYTES // (shard_bytes(self.template, self.problem, trials) + recorded_bytes))

    def run_steps(self, most: int | None) -> None:
        """Runs as many steps in one call as is efficient."""
        started = time.perf_counter()
        count = min(
            self._steps_per_call, self.left, self._steps_per_call if most is None else most - self.done
        )
        steps = range(self.pack.step, self.pack.step + count)
        parameters = self.problem.model.initial(row_streams(self.seeds, steps))
        total, seconds = self.gradient(parameters, self.batches.shards(steps, self.problem.model.axes))
        finite = all_finite(total).reshape(-1, count)
        ran = until_first_false(finite)
        self._record(steps, parameters, total, finite, ran, seconds)
        self.count_steps(total, ran, seconds)
        self.end_finished(np.logical_and.reduce(finite, axis=1))
        if self.left and time.perf_counter() - started < _CALL_SECONDS:
            self._steps_per_call = min(2 * self._steps_per_call, self._most_steps())

    def _record(
        self,
        steps: range,
        parameters: Array,
        total: GradientSum,
        finite: NDArray[np.bool_],
        ran: NDArray[np.bool_],
        seconds: Seconds,
    ) -> None:
        trials, count = finite.shape
        number = np.tile(np.asarray(steps), trials)
        regular = (number % self.template.record.every == 0) | (number == self.template.steps - 1)
        chain = self.chain.take(np.repeat(np.arange(trials), count))
        start = chain.init(parameters.shape[1])
        clipped = chain.apply(
            total.gradient, start, parameters=parameters, loss=total.loss, metric=total.metric
        ).clipped
        undefined = np.full(len(number), np.nan)
        columns = step_columns(total, finite.ravel(), untested(len(number)), undefined, seconds)
        taken = recorded(total, clipped, None, parameters, None)
        rows = StepRows(np.repeat(self.ids, count), number, columns, taken)
        self.recorder.add(rows.take(ran.ravel() & (regular | ~finite.ravel())))

    def complete(self) -> None:
        """Ends all trials; a probe has no trained parameters to test."""
        self.end_all(untested(len(self.ids)))


def until_first_false(good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[R, k] true up to and including the first false of each row.

    Example:
        >>> until_first_false(np.array([[True, False, True]]))
        array([[ True,  True, False]])
    """
    before = np.logical_and.accumulate(good, axis=1)[:, :-1]
    return np.concatenate([np.ones((len(good), 1), bool), before], axis=1)

"""Probing: steps that are independent by nature. Each draws fresh parameters; many go in one call."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.sweep.problem import shard_bytes
from orchestrator.training.batches import row_streams
from orchestrator.training.pack import Array, Pack
from orchestrator.training.recorder import StepRows
from orchestrator.training.state import State
from orchestrator.training.walk import Cost, Team, Walk, all_finite, recorded, start_totals, step_columns

_CALL_BYTES = 128 << 20
_FIRST_ROWS = 64
_CALL_SECONDS = 0.2
"""A call that takes longer gains nothing from more rows."""


class Probe(Walk):
    """Gradients at random parameters; nothing is updated."""

    def __init__(self, team: Team, pack: Pack) -> None:
        super().__init__(team, pack)
        if pack.vectors is None:
            nothing = np.zeros((len(self.ids), 0))
            self.state = State.start(nothing, self.chain, start_totals(len(self.ids)))
        else:
            self.state = State.restore(pack.vectors, self.chain, 0)
        self._block = min(self._most_steps(), max(1, _FIRST_ROWS // len(self.ids)))

    def _most_steps(self) -> int:
        """Steps that fit into the memory of one call."""
        trials = len(self.ids)
        recorded_bytes = 10 * 8 * self.problem.model.parameters * trials
        return max(1, _CALL_BYTES // (shard_bytes(self.template, self.problem, trials) + recorded_bytes))

    def go(self, most: int | None) -> None:
        """As many steps as are worth one call."""
        started = time.perf_counter()
        count = min(self._block, self.left, self._block if most is None else most - self.done)
        steps = range(self.pack.step, self.pack.step + count)
        parameters = self.problem.model.initial(row_streams(self.seeds, steps))
        total, cost = self.gradient(parameters, self.batches.shards(steps, self.problem.model.axes))
        finite = all_finite(total)
        self._record(steps, parameters, total, finite, cost)
        self.count(total, cost, count)
        if not self.left:
            self.end(np.arange(len(self.ids)), "done", self.untested())
        if time.perf_counter() - started < _CALL_SECONDS:
            self._block = min(2 * self._block, self._most_steps())

    def _record(
        self, steps: range, parameters: Array, total: GradientSum, finite: NDArray[np.bool_], cost: Cost
    ) -> None:
        number = np.tile(np.asarray(steps), len(self.ids))
        regular = (number % self.template.record.every == 0) | (number == self.template.steps - 1)
        chain = self.chain.take(np.repeat(np.arange(len(self.ids)), len(steps)))
        clipped = chain.apply(total.gradient, chain.init(total.gradient.shape[1])).clipped
        undefined = np.full(len(number), np.nan)
        columns = step_columns(total, finite, (undefined, undefined), undefined, cost)
        taken = recorded(total, clipped, None, parameters, None)
        rows = StepRows(np.repeat(self.ids, len(steps)), number, columns, taken)
        self.recorder.add(rows.take(regular | ~finite))

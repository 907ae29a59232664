"""Training: steps that follow from one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.streams import Streams
from orchestrator.training.batches import draw_axes
from orchestrator.training.ended import parameter_rows
from orchestrator.training.pack import Array, Pack
from orchestrator.training.recorder import StepRows
from orchestrator.training.state import State
from orchestrator.training.walk import (
    Cost,
    Pair,
    Team,
    Walk,
    all_finite,
    recorded,
    start_totals,
    step_columns,
)
from orchestrator.updates.chain import Applied


class Training(Walk):
    """Forward, backward, clip, apply; a trial whose numbers are no longer finite ends."""

    def __init__(self, team: Team, pack: Pack) -> None:
        super().__init__(team, pack)
        model = self.problem.model
        if pack.vectors is None:
            parameters = model.initial(Streams(self.seeds, 0))
            self.state = State.start(parameters, self.chain, start_totals(len(self.ids)))
        else:
            self.state = State.restore(pack.vectors, self.chain, model.parameters)

    def go(self, most: int | None) -> None:  # noqa: ARG002 - one step is the least anyone can ask for
        """One step of every trial."""
        step = self.pack.step
        state, shards = self.state, self.batches.shards(range(step, step + 1), self.problem.model.axes)
        tests = self._evaluated(state.parameters, shards[0].axes)
        total, cost = self.gradient(state.parameters, shards)
        applied = self.chain.apply(total.gradient, state.chain)
        finite = all_finite(total)
        self._record(total, applied, finite, tests, cost)
        with np.errstate(all="ignore"):
            after = state.parameters - applied.update
        self.state = State(after, total.gradient, applied.state, state.totals)
        self.count(total, cost, steps=1)
        self._end(finite)

    def _evaluated(self, parameters: Array, axes: NDArray[np.int8]) -> Pair:
        every = self.template.record.evaluate
        return self.test(parameters, axes) if every and self.pack.step % every == 0 else self.untested()

    def _record(
        self, total: GradientSum, applied: Applied, finite: NDArray[np.bool_], tests: Pair, cost: Cost
    ) -> None:
        step = self.pack.step
        regular = step % self.template.record.every == 0 or step == self.template.steps - 1
        if not regular and finite.all():
            return
        columns = step_columns(total, finite, tests, self.chain.learning_rate, cost)
        taken = recorded(total, applied.clipped, applied.update, self.state.parameters, self.state.previous)
        rows = StepRows(self.ids, np.full(len(self.ids), step), columns, taken)
        self.recorder.add(rows if regular else rows.take(~finite))

    def _end(self, finite: NDArray[np.bool_]) -> None:
        if not finite.all():
            self.end(np.flatnonzero(~finite), "diverged", self.untested())
            self.keep(np.flatnonzero(finite))
        if self.pack.step == self.template.steps and len(self.ids):
            self._end_done()

    def _end_done(self) -> None:
        model, step, parameters = self.problem.model, self.pack.step, self.state.parameters
        axes = draw_axes(self.seeds, range(step, step + 1), model.axes)
        self.end(np.arange(len(self.ids)), "done", self.test(parameters, axes))
        if self.template.record.parameters == "final":
            self.leave("parameters", parameter_rows(model, self.ids, parameters))

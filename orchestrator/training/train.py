"""Training: each step updates the parameters for the next."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.models.scores import Scores
from orchestrator.streams import Streams
from orchestrator.training.batches import draw_axes
from orchestrator.training.ended import parameter_rows
from orchestrator.training.evaluate import evaluate, untested
from orchestrator.training.loop import Loop, Team, all_finite
from orchestrator.training.losses import StepLosses
from orchestrator.training.pack import Pack
from orchestrator.training.recorder import Seconds, StepRows, recorded, step_columns
from orchestrator.training.state import PackState
from orchestrator.updates.chain import Applied


class Training(Loop):
    """Trains a pack: gradient, clips, optimiser. A trial whose loss or gradient is not finite ends."""

    def __init__(self, team: Team, pack: Pack) -> None:
        super().__init__(team, pack)
        model = self.problem.model
        if pack.vectors is None:
            parameters = model.initial(Streams(self.seeds, 0))
            self.state = PackState.start(parameters, self.chain, time.time())
        else:
            self.state = PackState.restore(pack.vectors, self.chain, model.parameters)

    def run_steps(self, most: int | None) -> None:  # noqa: ARG002 - one step is the least
        """Runs one step of every trial."""
        step, state = self.pack.step, self.state
        shards = self.batches.shards(range(step, step + 1), self.problem.model.axes)
        total, seconds = self.gradient(state.parameters, shards)
        losses = StepLosses(self, shards, total, seconds)
        applied = self._applied(losses)
        total, seconds, finite = losses.total, losses.seconds, all_finite(total)
        self._record(total, applied, finite, shards[0].axes, seconds)
        with np.errstate(all="ignore"):
            after = state.parameters - applied.update
        self.state = PackState(after, total.gradient, applied.state, state.totals)
        self.count_steps(total, np.ones((len(finite), 1), bool), seconds)
        self.end_finished(finite)

    def _applied(self, losses: StepLosses) -> Applied:
        """Applies the updates to the gradient; they may request losses."""
        total, state = losses.total, self.state
        return self.chain.apply(
            total.gradient,
            state.chain,
            parameters=state.parameters,
            loss=total.loss,
            step=self.pack.step,
            steps=self.template.steps,
            metric=total.metric,
            losses=losses,
        )

    def _record(
        self,
        total: GradientSum,
        applied: Applied,
        finite: NDArray[np.bool_],
        axes: NDArray[np.int8],
        seconds: Seconds,
    ) -> None:
        step = self.pack.step
        regular = step % self.template.record.every == 0 or step == self.template.steps - 1
        if not regular and finite.all():
            return
        columns = step_columns(total, finite, self._scores(axes), self.chain.learning_rate, seconds)
        taken = recorded(total, applied.clipped, applied.update, self.state.parameters, self.state.previous)
        rows = StepRows(self.ids, np.full(len(self.ids), step), columns, taken)
        self.recorder.add(rows if regular else rows.take(~finite))

    def _scores(self, axes: NDArray[np.int8]) -> Scores:
        every = self.template.record.evaluate
        if not every or self.pack.step % every:
            return untested(len(self.ids))
        return evaluate(self.problem, self.state.parameters, axes)

    def complete(self) -> None:
        """Tests the trained parameters, adds their rows if ``record`` says so, and ends all trials."""
        model, step, parameters = self.problem.model, self.pack.step, self.state.parameters
        axes = draw_axes(self.seeds, range(step, step + 1), model.axes)
        self.end_all(evaluate(self.problem, parameters, axes))
        if self.template.record.parameters == "final":
            self.add_rows("parameters", parameter_rows(model, self.ids, parameters))

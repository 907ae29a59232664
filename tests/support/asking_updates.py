"""User-defined updates that need more than the gradient.

    python -c "import asking_updates; from orchestrator.cli import main; main()" VERB …

runs the command line in a process that has imported them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from orchestrator.groups import Array
from orchestrator.updates.base import Clip, Optimizer, State
from orchestrator.updates.context import Needs, StepContext


class Weighed(Clip):
    """Bounds each component by its parameter."""

    clip: Literal["weighed"]

    @property
    def needs(self) -> Needs:
        """The parameters."""
        return Needs(parameters=True)

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Clips each component to the magnitude of its parameter."""
        size = np.abs(context.parameters)
        return np.clip(vector, -size, size), state


class Fading(Clip):
    """Scales the vector down to 0 over the trial."""

    clip: Literal["fading"]

    @property
    def needs(self) -> Needs:
        """The step."""
        return Needs(step=True)

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Multiplies by the remaining fraction of the trial."""
        return vector * (1.0 - context.step / context.steps), state


class Counting(Clip):
    """Leaves the vector unchanged and counts the steps: ``count`` [R, 1]."""

    clip: Literal["counting"]

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002
        """A count of 0."""
        return {"count": np.zeros((rows, 1))}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:  # noqa: ARG002
        """Counts one step."""
        return vector, {"count": state["count"] + 1.0}


class Asking(Clip):
    """Leaves the vector unchanged and requests losses."""

    clip: Literal["asking"]

    @property
    def needs(self) -> Needs:
        """Losses."""
        return Needs(losses=True)

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Requests the loss at the parameters."""
        context.losses(context.parameters[:, None])
        return vector, state


class Search(Optimizer):
    """Moves to the best of three points along the gradient; the third depends on the losses at the others.

    It requests the losses one and two learning rates down the gradient, then half a learning rate beyond the
    better point. State: ``points`` [R, 3, P] and ``losses`` [R, 3] of the last step.
    """

    optimizer: Literal["search"]

    @property
    def needs(self) -> Needs:
        """Parameters, and losses at other points."""
        return Needs(parameters=True, losses=True)

    def init(self, rows: int, parameters: int) -> State:
        """Zeros before the first request."""
        return {"points": np.zeros((rows, 3, parameters)), "losses": np.zeros((rows, 3))}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:  # noqa: ARG002
        """The difference to the best point."""
        step = context.numbers["learning_rate"] * vector
        first = np.stack([context.parameters - step, context.parameters - 2.0 * step], axis=1)
        answers = context.losses(first)
        second = _best(first, answers)[:, None] - 0.5 * step[:, None]
        points = np.concatenate([first, second], axis=1)
        losses = np.concatenate([answers, context.losses(second)], axis=1)
        return context.parameters - _best(points, losses), {"points": points, "losses": losses}


def _best(points: Array, losses: Array) -> Array:
    """The point [R, P] with the lowest loss."""
    return points[np.arange(len(points)), losses.argmin(-1)]


class Repeat(Optimizer):
    """Requests the loss at the parameters three times and does not move.

    State: ``losses`` [R, 3], the answers.
    """

    optimizer: Literal["repeat"]

    @property
    def needs(self) -> Needs:
        """Parameters and losses."""
        return Needs(parameters=True, losses=True)

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002
        """Zeros before the first request."""
        return {"losses": np.zeros((rows, 3))}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:  # noqa: ARG002
        """Requests two points in one call and one in another."""
        here = context.parameters[:, None]
        answers = context.losses(np.repeat(here, 2, axis=1)), context.losses(here)
        return np.zeros(vector.shape), {"losses": np.concatenate(answers, axis=1)}

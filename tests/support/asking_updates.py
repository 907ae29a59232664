"""Updates that ask for more than the gradient, as somebody's own may.

    python -c "import asking_updates; from orchestrator.cli import main; main()" VERB …

is the command line of a process that knows them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from orchestrator.groups import Array
from orchestrator.updates.base import Clip, Optimizer, State
from orchestrator.updates.given import Given, Needs


class Weighed(Clip):
    """Bounds the vector by what the parameters are."""

    clip: Literal["weighed"]

    @property
    def needs(self) -> Needs:
        """The parameters."""
        return Needs(parameters=True)

    def update(self, vector: Array, state: State, given: Given) -> tuple[Array, State]:
        """Cuts each component to the size of its parameter."""
        size = np.abs(given.parameters)
        return np.clip(vector, -size, size), state


class Fading(Clip):
    """Lets less and less through, and none in the end."""

    clip: Literal["fading"]

    @property
    def needs(self) -> Needs:
        """The step."""
        return Needs(step=True)

    def update(self, vector: Array, state: State, given: Given) -> tuple[Array, State]:
        """The part of the trial that is left."""
        return vector * (1.0 - given.step / given.steps), state


class Counting(Clip):
    """Lets everything through, and counts the steps: ``count`` [R, 1]."""

    clip: Literal["counting"]

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002
        """None yet."""
        return {"count": np.zeros((rows, 1))}

    def update(self, vector: Array, state: State, given: Given) -> tuple[Array, State]:  # noqa: ARG002
        """One more."""
        return vector, {"count": state["count"] + 1.0}


class Asking(Clip):
    """Lets everything through, and asks for losses."""

    clip: Literal["asking"]

    @property
    def needs(self) -> Needs:
        """Losses."""
        return Needs(losses=True)

    def update(self, vector: Array, state: State, given: Given) -> tuple[Array, State]:
        """Asks for that at the parameters."""
        given.losses(given.parameters[:, None])
        return vector, state


class Search(Optimizer):
    """Goes to the best of three points along the gradient; the third follows from the losses at the others.

    Asks for the losses one and two learning rates down the gradient, then half a learning rate beyond the
    better one. State: ``points`` [R, 3, P] and ``losses`` [R, 3], as they were in the last step.
    """

    optimizer: Literal["search"]

    @property
    def needs(self) -> Needs:
        """Parameters, and losses elsewhere."""
        return Needs(parameters=True, losses=True)

    def init(self, rows: int, parameters: int) -> State:
        """Nothing asked yet."""
        return {"points": np.zeros((rows, 3, parameters)), "losses": np.zeros((rows, 3))}

    def update(self, vector: Array, state: State, given: Given) -> tuple[Array, State]:  # noqa: ARG002
        """What leads to the best point."""
        step = given.numbers["learning_rate"] * vector
        first = np.stack([given.parameters - step, given.parameters - 2.0 * step], axis=1)
        answers = given.losses(first)
        second = _best(first, answers)[:, None] - 0.5 * step[:, None]
        points = np.concatenate([first, second], axis=1)
        losses = np.concatenate([answers, given.losses(second)], axis=1)
        return given.parameters - _best(points, losses), {"points": points, "losses": losses}


def _best(points: Array, losses: Array) -> Array:
    """The point [R, P] of the lowest loss."""
    return points[np.arange(len(points)), losses.argmin(-1)]


class Repeat(Optimizer):
    """Asks three times for the loss at the parameters, and stays there.

    State: ``losses`` [R, 3], the answers.
    """

    optimizer: Literal["repeat"]

    @property
    def needs(self) -> Needs:
        """Losses, at the parameters."""
        return Needs(parameters=True, losses=True)

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002
        """Nothing asked yet."""
        return {"losses": np.zeros((rows, 3))}

    def update(self, vector: Array, state: State, given: Given) -> tuple[Array, State]:  # noqa: ARG002
        """Two points in one call, and one in another."""
        here = given.parameters[:, None]
        answers = given.losses(np.repeat(here, 2, axis=1)), given.losses(here)
        return np.zeros(vector.shape), {"losses": np.concatenate(answers, axis=1)}

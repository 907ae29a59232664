"""Optimisers; the step Δ that they return is subtracted from the parameters."""

from __future__ import annotations

from typing import Literal

import numpy as np

from orchestrator.config.base import Field
from orchestrator.groups import Array
from orchestrator.updates.base import Optimizer, State
from orchestrator.updates.context import StepContext


class Sgd(Optimizer):
    """Gradient descent: Δ = η g."""

    optimizer: Literal["sgd"]

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Returns η g."""
        return context.numbers["learning_rate"] * vector, state


class Momentum(Optimizer):
    """Heavy ball (Polyak 1964): v = μ v + g, Δ = η v. State: ``velocity`` [R, P], v."""

    optimizer: Literal["momentum"]
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0, description="μ")

    def init(self, rows: int, parameters: int) -> State:
        """Returns v = 0."""
        return {"velocity": np.zeros((rows, parameters))}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Returns η v with the new v."""
        velocity = context.numbers["momentum"] * state["velocity"] + vector
        return context.numbers["learning_rate"] * velocity, {"velocity": velocity}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with bias correction of both moments.

    State: ``mean`` [R, P] and ``square`` [R, P], the running means of g and g²; ``count`` [R, 1],
    the number of steps so far.
    """

    optimizer: Literal["adam"]
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0, description="decay of the mean of g")
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0, description="decay of the mean of g²")
    epsilon: float = Field(default=1e-8, gt=0.0, description="added to the root of the mean of g²")

    def init(self, rows: int, parameters: int) -> State:
        """Returns means and count of 0."""
        zeros = np.zeros((rows, parameters))
        return {"mean": zeros, "square": zeros, "count": np.zeros((rows, 1))}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Returns η m̂ / (sqrt(v̂) + ε), with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ)."""
        numbers, count = context.numbers, state["count"] + 1.0
        beta1, beta2 = numbers["beta1"], numbers["beta2"]
        mean = beta1 * state["mean"] + (1.0 - beta1) * vector
        square = beta2 * state["square"] + (1.0 - beta2) * np.square(vector)
        root = np.sqrt(square / (1.0 - beta2**count))
        step = numbers["learning_rate"] * (mean / (1.0 - beta1**count)) / (root + numbers["epsilon"])
        return step, {"mean": mean, "square": square, "count": count}

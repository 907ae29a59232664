"""Stateless clips: by value and by norm."""

from __future__ import annotations

from typing import Literal

import numpy as np

from orchestrator.config.base import Field
from orchestrator.groups import Array
from orchestrator.updates.base import Clip, State
from orchestrator.updates.context import StepContext


class ClipValue(Clip):
    """Clips each component to [-limit, limit]; NaN stays NaN."""

    clip: Literal["value"]
    limit: float = Field(gt=0.0, description="largest absolute value of a component")

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Replaces each component g by min(max(g, -limit), limit)."""
        return np.clip(vector, -context.numbers["limit"], context.numbers["limit"]), state


class ClipNorm(Clip):
    """Scales the whole vector down to a Euclidean norm of at most ``limit`` (Pascanu et al. 2013)."""

    clip: Literal["norm"]
    limit: float = Field(gt=0.0, description="largest Euclidean norm of a trial's whole vector")

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Scales each row down to its limit; see ``shortened``."""
        return shortened(vector, context.numbers["limit"]), state


def shortened(vector: Array, limit: Array) -> Array:
    """Returns g min(1, limit/||g||) for each row g of [R, P]; ``limit`` [R, 1], NaN for no limit.

    A row with NaN or infinite components has no finite norm and is returned unchanged.
    """
    norm = euclidean_norm(vector)
    long = np.isfinite(vector).all(-1, keepdims=True) & (norm > limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(long, vector / norm * limit, vector)


def euclidean_norm(vector: Array) -> Array:
    """Returns the Euclidean norm of each row of [R, P], as [R, 1].

    Rows are scaled by a power of two, so that squares neither overflow nor underflow. Where ``sqrt(sum(g²))``
    is safe, the result has the same bits.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        _, exponent = np.frexp(np.abs(vector).max(-1, keepdims=True, initial=0.0))
        scaled = np.ldexp(vector, -exponent)
        return np.ldexp(np.sqrt((scaled * scaled).sum(-1, keepdims=True)), exponent)

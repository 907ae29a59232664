"""What a model offers that gradients can be propagated back through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tape = TypeVar("Tape")


@dataclass(frozen=True)
class Moments:
    """First and second moments of per-sample gradients and signals over the samples of a shard.

    Attributes:
        gradient: [R, P] Σ p_i ∂l_i
        square: [R, P] Σ p_i (∂l_i)²
        signal: [R, S] Σ p_i δ_i, δ_i = dl_i/da at the pre-activations a of all layers
        signal_square: [R, S] Σ p_i δ_i²
    """

    gradient: Array
    square: Array
    signal: Array
    signal_square: Array


class Differentiable(ABC, Generic[Tape]):
    """A built model (``models.base.Built``) that knows its own backward pass."""

    @abstractmethod
    def forward(self, parameters: Array, inputs: Array) -> tuple[Array, Tape]:
        """Predictions [R, B, K] of ``parameters`` [R, P] on ``inputs`` [R, B, F]; what backward needs."""

    @abstractmethod
    def backward(self, parameters: Array, tape: Tape, slope: Array, weights: Array) -> Moments:
        """Moments, from dl_i/dprediction_i [R, B, K], unweighted, and the samples' weights p_i [R, B]."""

    @abstractmethod
    def working_floats(self, samples: int) -> int:
        """float64 numbers per row that forward and backward hold at once for ``samples`` samples."""

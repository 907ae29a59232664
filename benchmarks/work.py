"""The work on which all programs are timed.

The circuit applies RY(x_q) on each qubit q, then four layers: RY(θ[l, 0, q]) and RZ(θ[l, 1, q]) on each
qubit q, followed by CX(0, 1), CX(1, 2), … E is the expectation value of Z on the last qubit. The loss of a
sample is (E - s)² with s = ±1. The result is the gradient with respect to all θ of the mean loss over a
batch. One call computes one trial or several, each with its own parameters and data, in complex128.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Gradient = Callable[[Array], Array]
"""Maps parameters [trials, layers, 2, qubits] to gradients of the same shape."""

LAYERS = 4


@dataclass(frozen=True)
class Shape:
    """Amount of work: qubits, samples in a batch, trials in one call."""

    qubits: int
    samples: int
    trials: int = 1

    def __str__(self) -> str:
        trials = f"{self.trials} trials of " if self.trials > 1 else ""
        return f"{trials}{self.qubits}, {self.samples}"


@dataclass(frozen=True)
class Work:
    """Random data for a shape.

    Attributes:
        shape: amount of work.
        parameters: [trials, layers, 2, qubits] in [0, 2π).
        inputs: [trials, samples, qubits] in [0, π).
        signs: [trials, samples] of -1 and 1.
    """

    shape: Shape
    parameters: Array
    inputs: Array
    signs: Array

    @classmethod
    def random(cls, shape: Shape) -> Work:
        """Draws the data, which is the same for every program."""
        random = np.random.default_rng(0)
        batch = (shape.trials, shape.samples)
        return cls(
            shape,
            random.uniform(0.0, 2.0 * np.pi, (shape.trials, LAYERS, 2, shape.qubits)),
            random.uniform(0.0, np.pi, (*batch, shape.qubits)),
            random.choice([-1.0, 1.0], batch),
        )

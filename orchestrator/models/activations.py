"""Elementwise activation functions and their derivatives.

Derivatives keep their relative precision where a unit saturates, because this package measures vanishing
gradients. The formula ``1 - tanh(z)**2`` is exactly 0 from z = 19 on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from orchestrator.groups import Array


@dataclass(frozen=True)
class Activation:
    """A function of the pre-activation and its derivative; both map an array to one of the same shape."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    """Returns 1 / (1 + exp(-z)), without overflow."""
    tail = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, tail) / (1.0 + tail)


def sigmoid_slope(z: Array) -> Array:
    """Returns sigmoid(z) sigmoid(-z), to full relative precision in both tails."""
    tail = np.exp(-np.abs(z))
    return tail / np.square(1.0 + tail)


def _tanh_slope(z: Array) -> Array:
    return 4.0 * sigmoid_slope(2.0 * z)


def _relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


def _step(z: Array) -> Array:
    return np.asarray(z > 0.0, np.float64)


def _identity(z: Array) -> Array:
    return z


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "relu": Activation(_relu, _step),
        "tanh": Activation(np.tanh, _tanh_slope),
        "sigmoid": Activation(sigmoid, sigmoid_slope),
        "linear": Activation(_identity, np.ones_like),
    }
)
"""Activations by name. The derivative of relu at 0 is 0."""

"""The dense layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from orchestrator.config.base import Field
from orchestrator.errors import Fault
from orchestrator.models.affine import INITS, Affine
from orchestrator.models.elementwise import Elementwise
from orchestrator.models.layer import Layer, Position
from orchestrator.models.stages import Stage


class Dense(Layer):
    """A fully connected layer.

    Attributes:
        units: number of units. May be left out in the last layer: one, or one per class with softmax.
        activation: activation function. In the last layer it is part of the loss, and may be softmax.
        init: distribution of the initial weights, one of ``models.affine.INITS``; biases start at 0.
    """

    kind: Literal["dense"]
    units: int | None = Field(default=None, ge=1)
    activation: Literal["relu", "tanh", "sigmoid", "linear", "softmax"] = "linear"
    init: Literal[INITS] = "glorot"  # type: ignore[valid-type]

    @property
    def summary(self) -> str:
        """Short description: ``dense 10``."""
        return f"dense {self.units}" if self.units else "dense"

    @property
    def head(self) -> str:
        """The activation."""
        return self.activation

    def faults(self, position: Position) -> Iterator[Fault]:
        """Yields faults: missing units, a softmax before the last layer or without classes."""
        if self.units is None and not position.last:
            yield Fault(f"{position.path}.units", "is missing; only the last layer may leave it out")
        if self.activation == "softmax" and not position.last:
            yield Fault(f"{position.path}.activation", "is softmax, legal in the last layer only")
        if self.activation == "softmax" and not position.classes:
            message = "is softmax, but the data have no classes: use linear"
            yield Fault(f"{position.path}.activation", message)

    def stages(self, position: Position, width: int) -> Sequence[tuple[str, Stage]]:
        """Returns the affine stage, and the activation unless it is linear or part of the loss."""
        units = self.units or (position.classes if self.activation == "softmax" else 1)
        weights = f"dense{position.index}", Affine(width, units, self.init)
        if position.last or self.activation == "linear":
            return (weights,)
        return weights, ("", Elementwise(self.activation, units))

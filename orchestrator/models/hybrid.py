"""Hybrids: sequences of layers of any kind."""

from __future__ import annotations

from typing import Annotated, Literal

from orchestrator.config.base import Field
from orchestrator.config.families import OneOf
from orchestrator.errors import InputError
from orchestrator.models.base import Model
from orchestrator.models.circuits.size import MOST_LAYERS
from orchestrator.models.layer import Layer, Position
from orchestrator.models.layered import Layered
from orchestrator.models.stages import Stage


class Hybrid(Model):
    """A sequence of dense layers and circuits; the backward pass goes through the circuits' inputs.

    The outputs of a circuit are the expectation values of its ``observables``; it takes one number per input.
    Groups are named by layer (``dense0.weight``, ``circuit1.layer0``) and numbered by depth. Each layer has
    a signal, dl/d(output); for a dense layer this is the output before its activation.

    Attributes:
        layers: the layers, in order from the data to the prediction.
    """

    kind: Literal["hybrid"]
    layers: tuple[Annotated[Layer, OneOf()], ...] = Field(strict=False, min_length=1, max_length=MOST_LAYERS)

    @property
    def summary(self) -> str:
        """The descriptions of the layers, comma-separated."""
        return ", ".join(layer.summary for layer in self.layers)

    def build(self, features: int, classes: int) -> Layered:
        """Builds the layers for data of ``features`` columns and ``classes`` classes.

        Raises:
            InputError: there are no data, or layers do not fit; paths start with ``model``.
        """
        if features == 0:
            raise InputError.at("model.kind", "hybrid needs data")
        last = len(self.layers) - 1
        positions = [Position(index, index == last, classes) for index in range(last + 1)]
        positioned = list(zip(self.layers, positions, strict=True))
        if faults := [fault for layer, position in positioned for fault in layer.faults(position)]:
            raise InputError(faults)
        stages: list[tuple[str, Stage]] = []
        width = features
        for layer, position in positioned:
            added = layer.stages(position, width)
            stages += added
            width = added[-1][1].outputs
        return Layered(tuple(stages), self.layers[-1].head)

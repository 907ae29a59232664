"""Layers of any kind, one after the other."""

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
    """A sequence of dense layers and circuits; gradients go back through the circuits' inputs.

    A circuit hands on the expectation values of its ``observables`` and takes one number for each of its
    inputs. Groups are named by layer (``dense0.weight``, ``circuit1.layer0``) and numbered by depth; each
    layer has a signal, dl/d(output), of a dense layer before its activation.

    Attributes:
        layers: from the data to the prediction.
    """

    kind: Literal["hybrid"]
    layers: tuple[Annotated[Layer, OneOf()], ...] = Field(strict=False, min_length=1, max_length=MOST_LAYERS)

    @property
    def summary(self) -> str:
        """It in a few words."""
        return ", ".join(layer.summary for layer in self.layers)

    def build(self, features: int, classes: int) -> Layered:
        """The layers for data of ``features`` columns and ``classes`` classes.

        Raises:
            InputError: with every fault; paths start with ``model.layers``.
        """
        if features == 0:
            raise InputError.at("model.kind", "hybrid needs data")
        last = len(self.layers) - 1
        positions = [Position(index, index == last, classes) for index in range(last + 1)]
        placed = list(zip(self.layers, positions, strict=True))
        if faults := [fault for layer, position in placed for fault in layer.faults(position)]:
            raise InputError(faults)
        stages: list[tuple[str, Stage]] = []
        width = features
        for layer, position in placed:
            own = layer.stages(position, width)
            stages += own
            width = own[-1][1].outputs
        return Layered(tuple(stages), self.layers[-1].head)

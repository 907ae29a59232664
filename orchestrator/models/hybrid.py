"""Dense layers and circuits, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from orchestrator.config import Field, OneOf
from orchestrator.errors import Fault, InputError
from orchestrator.models.any_circuit import AnyCircuit
from orchestrator.models.base import Model
from orchestrator.models.layer import Layer
from orchestrator.models.layered import Layered, Stage
from orchestrator.models.size import MOST_LAYERS
from orchestrator.models.stages import INITS, Affine, Elementwise, Quantum


class Dense(Layer):
    """Fully connected units.

    Attributes:
        units: how many; left out in the last layer: one, or with softmax one for each class.
        activation: behind them; in the last layer it belongs to the loss, softmax can only be there.
        init: how weights start, one of ``models.stages.INITS``; biases start at 0.
    """

    kind: Literal["dense"]
    units: int | None = Field(default=None, ge=1)
    activation: Literal["relu", "tanh", "sigmoid", "linear", "softmax"] = "linear"
    init: Literal[INITS] = "glorot"  # type: ignore[valid-type]

    @property
    def summary(self) -> str:
        """It in a few words."""
        return f"dense {self.units}" if self.units else "dense"


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
        faults = list(self._faults(classes))
        if faults:
            raise InputError(faults)
        stages: list[tuple[str, Stage]] = []
        width, last = features, len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            if isinstance(layer, Dense):
                units = layer.units or (classes if layer.activation == "softmax" else 1)
                stages.append((f"dense{index}", Affine(width, units, layer.init)))
                if index < last and layer.activation != "linear":
                    stages.append(("", Elementwise(layer.activation, units)))
            elif isinstance(layer, AnyCircuit):
                stages.append((f"circuit{index}", _quantum(layer, index, width)))
            width = stages[-1][1].outputs
        return Layered(tuple(stages), self._head())

    def _faults(self, classes: int) -> Iterator[Fault]:
        for index, layer in enumerate(self.layers):
            inner, path = index < len(self.layers) - 1, f"model.layers.{index}"
            if isinstance(layer, AnyCircuit) and layer.readout in ("linear", "softmax") and inner:
                yield Fault(f"{path}.readout", f"is {layer.readout}, legal in the last layer only")
            if isinstance(layer, AnyCircuit) and len(layer.observables) > 1 and not (layer.readout or inner):
                message = f"is missing, but there are {len(layer.observables)} observables"
                yield Fault(f"{path}.readout", f"{message} (legal in the last layer: mean, softmax, parity)")
            if isinstance(layer, AnyCircuit) and layer.readout == "linear" and not inner:
                yield Fault(f"{path}.readout", "is linear: add a layer {kind: dense} instead")
            if isinstance(layer, Dense) and layer.units is None and inner:
                yield Fault(f"{path}.units", "is missing, only the last layer knows how many it needs")
            if isinstance(layer, Dense) and layer.activation == "softmax" and inner:
                yield Fault(f"{path}.activation", "is softmax, legal in the last layer only")
            if isinstance(layer, Dense) and layer.activation == "softmax" and not classes:
                yield Fault(f"{path}.activation", "is softmax, but the data have no classes: use linear")

    def _head(self) -> str:
        last = self.layers[-1]
        if isinstance(last, Dense):
            return last.activation
        return "softmax" if isinstance(last, AnyCircuit) and last.readout == "softmax" else "expectation"

    def fingerprint(self) -> str:
        """Those of the circuits that come from files."""
        return " ".join(layer.fingerprint() for layer in self.layers if isinstance(layer, Model))


def _quantum(circuit: AnyCircuit, index: int, width: int) -> Quantum:
    try:
        return Quantum(circuit.program(width, fed=index > 0), width if index else 0)
    except InputError as error:
        faults = [
            replace(fault, path=f"model.layers.{index}" + fault.path.removeprefix("model"))
            for fault in error.faults
        ]
        raise InputError(faults) from None

"""The multilayer perceptron."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from orchestrator.config.base import Field
from orchestrator.errors import InputError
from orchestrator.models.affine import INITS, Affine
from orchestrator.models.base import Model
from orchestrator.models.circuits.size import MOST_LAYERS
from orchestrator.models.elementwise import Elementwise
from orchestrator.models.layered import Layered
from orchestrator.models.stages import Stage


class Mlp(Model):
    """Fully connected layers, ``activation`` between them and ``output`` behind the last.

    Layer l is ``layer{l}.weight`` [n, m] in C order, followed by ``layer{l}.bias`` [m], in the flat parameter
    vector. Its signal, ``layer{l}.signal`` [m], is dl/da at its pre-activation a. How weights start is
    described at ``models.affine.INITS``; biases start at 0.
    """

    kind: Literal["mlp"]
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(10,),
        strict=False,
        max_length=MOST_LAYERS,
        description="units of each hidden layer; [] for none",
    )
    activation: Literal["relu", "tanh", "sigmoid", "linear"] = "relu"
    output: Literal["sigmoid", "softmax", "tanh", "linear", "relu"] = "sigmoid"
    init: Literal[INITS] = "glorot"  # type: ignore[valid-type]

    @property
    def summary(self) -> str:
        """It in a few words."""
        return f"mlp {'-'.join(map(str, self.hidden)) or 'no hidden layer'}"

    def build(self, features: int, classes: int) -> Layered:
        """The network for data of ``features`` columns; softmax has one output per class, the rest have one.

        Raises:
            InputError: there are no data, or softmax is asked for without classes.
        """
        if features == 0:
            raise InputError.at("model.kind", "mlp needs data")
        if self.output == "softmax" and classes == 0:
            raise InputError.at("model.output", "softmax needs classes, the data have none: use linear")
        widths = (features, *self.hidden, classes if self.output == "softmax" else 1)
        stages: list[tuple[str, Stage]] = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            if index:
                stages.append(("", Elementwise(self.activation, inputs)))
            stages.append((f"layer{index}", Affine(inputs, outputs, self.init)))
        return Layered(tuple(stages), self.output)

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
    """Fully connected layers, with ``activation`` between them and ``output`` after the last one.

    In the flat parameter vector, layer l has ``layer{l}.weight`` [n, m] in C order and ``layer{l}.bias`` [m].
    Its signal ``layer{l}.signal`` [m] is dl/da, where a is its pre-activation. ``init`` is the distribution
    of the initial weights, one of ``models.affine.INITS``; biases start at 0.
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
        """Short description: ``mlp 10-10``."""
        return f"mlp {'-'.join(map(str, self.hidden)) or 'no hidden layer'}"

    def build(self, features: int, classes: int) -> Layered:
        """Builds the network for ``features`` columns; it has one output, or one per class with softmax.

        Raises:
            InputError: there are no data, or ``output`` is softmax and the data have no classes.
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

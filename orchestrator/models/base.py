"""The family of models (key ``model`` of a trial) and what they build."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.config.base import Config
from orchestrator.groups import Group
from orchestrator.models.circuits.program import Program
from orchestrator.models.samples import Samples
from orchestrator.models.scores import Examples, Predict, Scores
from orchestrator.streams import Streams


class Built(Protocol):
    """A model built for the data at hand. Picklable and immutable.

    Attributes:
        parameters: P, length of the flat parameter vector.
        groups: slices of the parameter vector that cover it, in order.
        names: [P] of the parameters: ``layer0.weight[2,0]``, or what the circuit calls them.
        signals: slices of the signal vector; empty where the model has none.
        dead: bool [P], true where the gradient is zero by structure.
        head: what the predictions are to the loss: sigmoid, softmax, tanh, linear, relu
            (logits, before that function) or expectation.
        outputs: K, predictions per sample.
        axes: A, number of rotations whose axis is drawn anew in every step; 0 for most.
        circuits: what is executed for a prediction of one sample, each as often as it is; none in a network.
        samples: what a sample is, of which it makes a prediction.
    """

    @property
    def parameters(self) -> int: ...
    @property
    def groups(self) -> tuple[Group, ...]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def signals(self) -> tuple[Group, ...]: ...
    @property
    def dead(self) -> NDArray[np.bool_]: ...
    @property
    def head(self) -> str: ...
    @property
    def outputs(self) -> int: ...
    @property
    def axes(self) -> int: ...
    @property
    def circuits(self) -> tuple[Program, ...]: ...
    @property
    def samples(self) -> Samples: ...

    def initial(self, streams: Streams) -> NDArray[np.float64]:
        """Fresh parameters, float64 [R, P], one row for each stream (Purpose.PARAMETERS)."""

    def scores(self, predict: Predict, loss: str, data: Examples) -> Scores:
        """Loss and accuracy on the test part, which has rows, of the parameters that ``predict`` takes."""


class Model(Config):
    """What is differentiated. A member's tag is its key ``kind``."""

    tags: ClassVar[tuple[str, ...]] = ("kind",)

    @property
    def summary(self) -> str:
        """It in a few words: ``mlp 10-10``, ``circuit 4 qubits × 3``, ``circuit file.qasm``."""
        raise NotImplementedError

    def build(self, features: int, classes: int) -> Built:
        """The model for data of ``features`` columns and ``classes`` classes (0: regression or no data).

        Raises:
            InputError: it cannot take such data; paths start with ``model``.
        """
        raise NotImplementedError

"""The family of models (key ``model`` of a trial) and the interface of a built model."""

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
    """A model built for a data set. Picklable and immutable.

    Attributes:
        parameters: P, length of the flat parameter vector.
        groups: slices of the parameter vector, which cover it in order.
        names: [P] names of the parameters: ``layer0.weight[2,0]``, or the circuit's own names.
        signals: slices of the signal vector; empty if the model has no signals.
        dead: bool [P], true for dead parameters: their gradient is zero by structure.
        head: how the loss reads the predictions: as logits of sigmoid, softmax, tanh, linear or relu, or as
            an expectation value.
        outputs: K, predictions per sample.
        axes: A, number of rotations whose axis is drawn in every step; 0 for most models.
        circuits: the circuits executed for the prediction of one sample, repeated as often as they run;
            empty for a network.
        samples: how samples are formed from rows of the data.
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
        """Draws initial parameters, float64 [R, P], one row per stream (Purpose.PARAMETERS)."""

    def scores(self, predict: Predict, loss: str, data: Examples) -> Scores:
        """Returns loss and accuracy on the test part, which must have rows.

        Args:
            predict: predictions at the trained parameters of R rows.
            loss: one of ``losses.LOSSES``.
            data: the data set.
        """


class Model(Config):
    """The configuration of a model. A member's tag is its key ``kind``."""

    tags: ClassVar[tuple[str, ...]] = ("kind",)

    @property
    def summary(self) -> str:
        """Short description: ``mlp 10-10``, ``circuit 4 qubits × 3``, ``circuit file.qasm``."""
        raise NotImplementedError

    def build(self, features: int, classes: int) -> Built:
        """Builds the model for ``features`` columns and ``classes`` classes (0: regression or no data).

        Raises:
            InputError: the model does not fit these data; paths start with ``model``.
        """
        raise NotImplementedError

"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import Field
from orchestrator.errors import InputError
from orchestrator.models.activations import ACTIVATIONS
from orchestrator.models.base import Group, Model
from orchestrator.models.differentiable import Differentiable, Moments
from orchestrator.streams import Purpose, Streams

Array = NDArray[np.float64]


class Mlp(Model):
    """Fully connected layers, ``activation`` between them and ``output`` behind the last.

    Initial weights of a layer of n inputs and m outputs (biases start at 0):

    ======= =============================================================
    uniform U[-1/√n, 1/√n], the old habit that Glorot and Bengio examine
    glorot  U[-√(6/(n+m)), √(6/(n+m))] (Glorot and Bengio 2010)
    he      N(0, 2/n) (He et al. 2015)
    normal  N(0, 1/n) (LeCun et al. 1998)
    zeros   0
    ======= =============================================================
    """

    kind: Literal["mlp"]
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(10,), strict=False, description="units of each hidden layer; [] for none"
    )
    activation: Literal["relu", "tanh", "sigmoid", "linear"] = "relu"
    output: Literal["sigmoid", "softmax", "tanh", "linear", "relu"] = "sigmoid"
    init: Literal["uniform", "glorot", "he", "normal", "zeros"] = "glorot"

    def build(self, features: int, classes: int) -> Network:
        """The network for data of ``features`` columns; softmax has one output per class, the rest have one.

        Raises:
            InputError: there are no data, or softmax is asked for without classes.
        """
        if features == 0:
            raise InputError.at("model.kind", "mlp needs data")
        if self.output == "softmax" and classes == 0:
            raise InputError.at("model.output", "softmax needs classes, the data have none: use linear")
        outputs = classes if self.output == "softmax" else 1
        return Network((features, *self.hidden, outputs), self.activation, self.output, self.init)


@dataclass(frozen=True)
class _Layer:
    """Where a layer lies: [start, stop) of the parameters, [first, last) of the signals."""

    inputs: int
    outputs: int
    start: int
    stop: int
    first: int
    last: int

    def matrix(self, vector: Array) -> Array:
        """A view of [R, P] as [R, inputs + 1, outputs]: the weight, and the bias as its last row."""
        return vector[:, self.start : self.stop].reshape(len(vector), self.inputs + 1, self.outputs)


@dataclass(frozen=True)
class _Tape:
    """Of each layer its inputs with a column of ones behind them, and its pre-activations."""

    inputs: tuple[Array, ...]
    activities: tuple[Array, ...]


@dataclass(frozen=True)
class Network(Differentiable[_Tape]):
    """A multilayer perceptron of given widths; implements ``models.base.Built``.

    Layer l is ``layer{l}.weight`` [n, m] in C order, followed by ``layer{l}.bias`` [m], in the
    flat parameter vector. Its signal, ``layer{l}.signal`` [m], is dl/da at its pre-activation a.

    Attributes:
        widths: units from the inputs to the outputs.
        activation: function between layers.
        head: function behind the last layer; belongs to the loss.
        init: scheme of ``initial``, see ``Mlp``.
    """

    widths: tuple[int, ...]
    activation: str
    head: str
    init: str

    @cached_property
    def layers(self) -> tuple[_Layer, ...]:
        """The layers, in order from the inputs."""
        layers, start, first = [], 0, 0
        for inputs, outputs in pairwise(self.widths):
            stop, last = start + (inputs + 1) * outputs, first + outputs
            layers.append(_Layer(inputs, outputs, start, stop, first, last))
            start, first = stop, last
        return tuple(layers)

    @property
    def parameters(self) -> int:
        """P."""
        return self.layers[-1].stop

    @property
    def groups(self) -> tuple[Group, ...]:
        """A weight and a bias for each layer."""
        return tuple(group for depth, layer in enumerate(self.layers) for group in _groups(depth, layer))

    @property
    def signals(self) -> tuple[Group, ...]:
        """A signal for each layer, that of the outputs included."""
        return tuple(
            Group(f"layer{depth}.signal", layer.first, layer.last, depth, "signal")
            for depth, layer in enumerate(self.layers)
        )

    @property
    def dead(self) -> NDArray[np.bool_]:
        """All false: a unit that is off for some inputs is not off by structure."""
        return np.zeros(self.parameters, np.bool_)

    @property
    def outputs(self) -> int:
        """K."""
        return self.widths[-1]

    @property
    def axes(self) -> int:
        """0."""
        return 0

    def initial(self, streams: Streams) -> Array:
        """Fresh parameters, float64 [R, P]."""
        vector = _SHAPES[self.init](streams, self.parameters)
        for layer in self.layers:
            matrix = layer.matrix(vector)
            matrix[:, :-1] *= _SCALES[self.init](layer.inputs, layer.outputs)
            matrix[:, -1] = 0.0
        return vector

    def forward(self, parameters: Array, inputs: Array) -> tuple[Array, _Tape]:
        """Logits [R, B, K], before the head."""
        value = ACTIVATIONS[self.activation].value
        extended = [_extended(inputs)]
        activities = [extended[0] @ self.layers[0].matrix(parameters)]
        for layer in self.layers[1:]:
            extended.append(_extended(value(activities[-1])))
            activities.append(extended[-1] @ layer.matrix(parameters))
        return activities[-1], _Tape(tuple(extended), tuple(activities))

    def backward(self, parameters: Array, tape: _Tape, slope: Array, weights: Array) -> Moments:
        """Moments of the samples' gradients; no sample's own gradient is ever formed.

        The gradient of a weight from one sample is a_j δ_k, so its second moment over samples is
        the matrix product (a²)ᵀ (p δ²) (Dangel et al. 2020, "BackPACK").
        """
        rows, signals = len(parameters), self.layers[-1].last
        moments = Moments(*(np.empty((rows, size)) for size in (self.parameters,) * 2 + (signals,) * 2))
        delta, weight = slope, weights[..., None]
        for index in reversed(range(len(self.layers))):
            layer, inputs = self.layers[index], tape.inputs[index]
            if index < len(self.layers) - 1:
                behind = self.layers[index + 1].matrix(parameters)[:, :-1]
                delta = delta @ behind.swapaxes(1, 2)
                delta *= ACTIVATIONS[self.activation].slope(tape.activities[index])
            _sum(inputs, weight * delta, layer, moments.gradient, moments.signal)
            _sum(np.square(inputs), weight * np.square(delta), layer, moments.square, moments.signal_square)
        return moments

    def working_floats(self, samples: int) -> int:
        """float64 numbers per row that forward and backward hold at once for ``samples`` samples."""
        kept = sum(layer.inputs + 1 + layer.outputs for layer in self.layers)
        widest = max(self.widths) + 1
        return samples * (kept + 4 * widest) + 2 * (self.parameters + self.layers[-1].last)


def _groups(depth: int, layer: _Layer) -> tuple[Group, Group]:
    bias = layer.stop - layer.outputs
    return (
        Group(f"layer{depth}.weight", layer.start, bias, depth),
        Group(f"layer{depth}.bias", bias, layer.stop, depth),
    )


def _extended(values: Array) -> Array:
    """[R, B, n] with a column of ones behind it, so that a bias is one more weight."""
    extended = np.empty((*values.shape[:-1], values.shape[-1] + 1))
    extended[..., :-1] = values
    extended[..., -1] = 1.0
    return extended


def _sum(inputs: Array, deltas: Array, layer: _Layer, gradient: Array, signal: Array) -> None:
    """Writes Σ_i inputs_i ⊗ deltas_i into the layer's places; the ones column yields Σ_i deltas_i."""
    matrix = layer.matrix(gradient)
    np.matmul(inputs.swapaxes(1, 2), deltas, out=matrix)
    signal[:, layer.first : layer.last] = matrix[:, -1]


_SHAPES: dict[str, Callable[[Streams, int], Array]] = {
    "uniform": lambda streams, count: 2.0 * streams.uniform(Purpose.PARAMETERS, count) - 1.0,
    "glorot": lambda streams, count: 2.0 * streams.uniform(Purpose.PARAMETERS, count) - 1.0,
    "he": lambda streams, count: streams.normal(Purpose.PARAMETERS, count),
    "normal": lambda streams, count: streams.normal(Purpose.PARAMETERS, count),
    "zeros": lambda streams, count: np.zeros((len(streams.seeds), count)),
}
_SCALES: dict[str, Callable[[int, int], float]] = {
    "uniform": lambda inputs, _: 1.0 / math.sqrt(inputs),
    "glorot": lambda inputs, outputs: math.sqrt(6.0 / (inputs + outputs)),
    "he": lambda inputs, _: math.sqrt(2.0 / inputs),
    "normal": lambda inputs, _: 1.0 / math.sqrt(inputs),
    "zeros": lambda *_: 0.0,
}

"""A gradient in two passes: its questions are noted and measured anywhere, then the answers are replayed.

    noting = NotingMeter(meter)
    replace(differentiator, meter=noting).gradient(parameters, shard)
    answers = [meter.measure(*question) for question in noting.questions]
    answering = AnsweringMeter(meter, iter(answers))
    total = replace(differentiator, meter=answering).gradient(parameters, shard)

``total`` has the bits of ``differentiator.gradient(parameters, shard)``. This works for every differentiator
with a ``meter``: by shifts or random directions, of a circuit or of a layered model evaluated as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import Cost, Shard
from orchestrator.engines.measured.meter import Measured, Measurer
from orchestrator.groups import Array


class Question(NamedTuple):
    """The arguments of a call of ``Measurer.measure``: arrays and numbers.

    Attributes:
        parameters: [S, R, P] or [S, R·B, P] settings of the parameters.
        shard: the samples.
        first: number of the first setting among those of the shard.
    """

    parameters: Array
    shard: Shard
    first: int


@dataclass(frozen=True, eq=False)
class _MeterProxy:
    """Forwards to another meter all methods but ``measure``.

    Attributes:
        meter: the other meter.
    """

    meter: Measurer

    @property
    def outputs(self) -> int:
        """K, number of predictions per sample."""
        return self.meter.outputs

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Exact predictions of the meter."""
        return self.meter.expectation(parameters, inputs, axes)

    def spans(self, shard: Shard, count: int) -> Iterator[slice]:
        """Splits ``count`` settings into questions."""
        return self.meter.spans(shard, count)


@dataclass(frozen=True, eq=False)
class NotingMeter(_MeterProxy):
    """Notes questions and answers 0. Results computed from these answers are meaningless.

    Attributes:
        questions: in the order of the calls.
    """

    questions: list[Question] = field(default_factory=list)

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """Notes a question; returns an exact answer of 0 that costs nothing."""
        self.questions.append(Question(parameters, shard, first))
        rows, samples = shard.weights.shape
        value = np.zeros((len(parameters), rows, samples, self.outputs))
        return Measured(value, None, None, Cost.simulated(rows, 0))


@dataclass(frozen=True, eq=False)
class AnsweringMeter(_MeterProxy):
    """Replays answers that were measured before.

    Attributes:
        answers: to the questions of a ``NotingMeter`` for the same gradient, in their order.
    """

    answers: Iterator[Measured]

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """Returns the next answer.

        Raises:
            ValueError: no answer is left, or it has another number of settings, rows or samples.
        """
        answer, asked = next(self.answers, None), (len(parameters), *shard.weights.shape)
        if answer is None or answer.value.shape[:3] != asked:
            reason = "no answer is left" if answer is None else f"the answer has {answer.value.shape[:3]}"
            question = f"from setting {first} of shard {shard.number}"
            raise ValueError(f"{question}: the question has {asked} settings, rows and samples; {reason}")
        return answer

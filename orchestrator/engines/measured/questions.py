"""A gradient in two passes: what its engine asks is noted, measured anywhere, and the answers are handed out.

    noting = NotingMeter(meter)
    replace(differentiator, meter=noting).gradient(parameters, shard)
    answers = [meter.measure(*question) for question in noting.questions]
    answering = AnsweringMeter(meter, iter(answers))
    total = replace(differentiator, meter=answering).gradient(parameters, shard)

``total`` has the bits of ``differentiator.gradient(parameters, shard)``. A differentiator with a ``meter``
can do it: those of shifts and of random directions, on a circuit or on layers that are evaluated as a whole.
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
    """What ``Measurer.measure`` is asked: arrays and numbers.

    Attributes:
        parameters: [S, R, P] or [S, R·B, P] settings of the parameters.
        shard: the samples.
        first: number of the first setting, among those of the shard.
    """

    parameters: Array
    shard: Shard
    first: int


@dataclass(frozen=True, eq=False)
class _MeterProxy:
    """Stands where a gradient expects a meter; only ``measure`` is another.

    Attributes:
        meter: the one that it stands in for.
    """

    meter: Measurer

    @property
    def outputs(self) -> int:
        """K."""
        return self.meter.outputs

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Exact predictions, as the meter gives them."""
        return self.meter.expectation(parameters, inputs, axes)

    def spans(self, shard: Shard, count: int) -> Iterator[slice]:
        """``count`` settings cut into questions."""
        return self.meter.spans(shard, count)


@dataclass(frozen=True, eq=False)
class NotingMeter(_MeterProxy):
    """Notes what it is asked, and answers 0: what is computed from its answers has no meaning.

    Attributes:
        questions: in the order in which they came.
    """

    questions: list[Question] = field(default_factory=list)

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """Notes a question; the answer is exact and 0, and costs nothing."""
        self.questions.append(Question(parameters, shard, first))
        rows, samples = shard.weights.shape
        value = np.zeros((len(parameters), rows, samples, self.outputs))
        return Measured(value, None, None, Cost.simulated(rows, 0))


@dataclass(frozen=True, eq=False)
class AnsweringMeter(_MeterProxy):
    """Hands out answers that were measured before.

    Attributes:
        answers: to the questions that a ``NotingMeter`` noted of the same gradient, in their order.
    """

    answers: Iterator[Measured]

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """The next answer.

        Raises:
            ValueError: there is none, or it has another number of settings, rows or samples.
        """
        answer, asked = next(self.answers, None), (len(parameters), *shard.weights.shape)
        if answer is None or answer.value.shape[:3] != asked:
            found = "no answer is left" if answer is None else f"the answer has {answer.value.shape[:3]}"
            question = f"setting {first} of shard {shard.number}, and what follows"
            raise ValueError(f"{question}: asked for are {asked} settings, rows and samples, {found}")
        return answer

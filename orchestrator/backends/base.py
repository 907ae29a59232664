"""The family of backends, which evaluate circuits (key ``backend`` of a circuit engine)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.config.base import Config, Field
from orchestrator.groups import Array
from orchestrator.models.circuits.program import Program

Precision = Literal["complex128", "complex64"]
"""Type of a state's amplitudes."""


class Evaluator(Protocol):
    """A program prepared on a backend. A row's results have the same bits whatever other rows a call has."""

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns exact E [R, B, K], without shots, at parameters [R, P], inputs [R, B, F], axes [R, A]."""


@dataclass(frozen=True)
class Part:
    """Results for N consecutive samples of a call.

    Attributes:
        span: indices of the samples among all R·B.
        expectation: [N, K] E
        derivative: [N, P] Σ_k c_k dE_k/dθ
    """

    span: slice
    expectation: Array
    derivative: Array


class AdjointEvaluator(Evaluator, Protocol):
    """A program prepared for adjoint differentiation."""

    @property
    def program(self) -> Program: ...
    @property
    def executions(self) -> int:
        """Number of circuits executed for the gradient of one sample."""

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """Yields E and Σ_k c_k dE_k/dθ of all samples, in order, in parts that bound the memory.

        ``cotangents`` c are [R, B, K]. They may be left out if K = 1, which means c = 1.
        """


class Backend(Config):
    """Configuration of a backend. A member's tag is its key ``kind``.

    Attributes:
        shots: number of measurements per Pauli string of the observable. If left out, expectation values are
            exact.
    """

    tags: ClassVar[tuple[str, ...]] = ("kind",)
    kind: str
    shots: int | None = Field(default=None, ge=2, lt=2**53)

    @property
    def no_projector(self) -> str:
        """Why the backend does not evaluate projectors; empty if it does."""
        return "" if self.shots is None else "has no estimate from shots; leave gradient.backend.shots out"

    @property
    def gpus(self) -> int:
        """Number of GPUs that a process needs for the backend."""
        return 0

    @property
    def repeatable(self) -> bool:
        """Whether equal calls return equal bits. Those of a remote service do not."""
        return True

    def check(self) -> None:
        """Raises InputError, at ``gradient.backend``, if this process lacks what the backend needs."""

    def fits(self, program: Program) -> None:
        """Raises InputError if the backend cannot run a program, even where it passes ``check``."""

    def check_step(self, step: float) -> None:
        """Refuses a difference step, in radians, that is too small for the precision of E."""

    def amplitudes(self, qubits: int) -> float:
        """Returns the number of amplitudes that simulate this many qubits."""
        return 2.0**qubits

    def prepare(self, program: Program) -> Evaluator:
        """Prepares a program that ``fits``."""
        raise NotImplementedError

    @property
    def differentiates(self) -> bool:
        """Whether the backend supports adjoint differentiation."""
        return False

    def adjoint(self, program: Program) -> AdjointEvaluator:
        """Prepares a program for adjoint differentiation, if the backend ``differentiates``."""
        raise NotImplementedError

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Returns the working memory, in bytes, of one adjoint gradient of R rows of B samples."""
        raise NotImplementedError

    def live_gates(self, program: Program) -> NDArray[np.bool_]:
        """Returns [G], false for gates that cannot change an expectation value."""
        return program.live

    def bytes(self, program: Program, points: int) -> int:
        """Returns the working memory, in bytes, of one call on R·B = ``points``."""
        raise NotImplementedError

"""The family of backends (key ``backend`` of a circuit engine): what evaluates circuits."""

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
"""Of amplitudes."""


class Evaluator(Protocol):
    """A program made ready on a backend. A row's bits do not depend on the other rows."""

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """E [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, A]; no shots are taken."""


@dataclass(frozen=True)
class Part:
    """Consecutive samples of a call, counted over all R·B.

    Attributes:
        span: which ones.
        expectation: [N, K] E
        derivative: [N, P] Σ_k c_k dE_k/dθ
    """

    span: slice
    expectation: Array
    derivative: Array


class AdjointEvaluator(Evaluator, Protocol):
    """A program made ready for adjoint differentiation."""

    @property
    def program(self) -> Program: ...
    @property
    def executions(self) -> int:
        """Circuits executed for a gradient of one sample."""

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """E and Σ_k c_k dE_k/dθ of all samples, in order, in parts that bound the memory.

        ``cotangents`` c is [R, B, K]; 1 if left out, which is for K = 1.
        """


class Backend(Config):
    """What evaluates circuits. A member's tag is its key ``kind``.

    Attributes:
        shots: measurements of each Pauli string of the observable; exact expectation values if left out.
    """

    tags: ClassVar[tuple[str, ...]] = ("kind",)
    kind: str
    shots: int | None = Field(default=None, ge=2, lt=2**53)

    @property
    def no_projector(self) -> str:
        """Why it does not evaluate projectors; empty if it does."""
        return "" if self.shots is None else "is not measured from shots; leave gradient.backend.shots out"

    @property
    def gpus(self) -> int:
        """Number of GPUs that a process needs for it."""
        return 0

    @property
    def repeatable(self) -> bool:
        """Whether it gives the same bits when it is asked the same again; a remote service does not."""
        return True

    def check(self) -> None:
        """Raises InputError, at ``gradient.backend``, if this process lacks what the backend needs."""

    def fits(self, program: Program) -> None:
        """Raises InputError if the backend, which passes ``check``, cannot run a program."""

    def check_step(self, step: float) -> None:
        """Refuses a step of differences, in radians, that is too small for the precision of E."""

    def amplitudes(self, qubits: int) -> float:
        """How many numbers a state of so many qubits has."""
        return 2.0**qubits

    def prepare(self, program: Program) -> Evaluator:
        """Makes ready for one program that ``fits``."""
        raise NotImplementedError

    @property
    def differentiates(self) -> bool:
        """Whether it takes adjoint derivatives."""
        return False

    def adjoint(self, program: Program) -> AdjointEvaluator:
        """Makes ready for adjoint differentiation, if it ``differentiates``."""
        raise NotImplementedError

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one adjoint gradient of R rows of B samples, in bytes."""
        raise NotImplementedError

    def reached(self, program: Program) -> NDArray[np.bool_]:
        """[G] false where a gate cannot change the expectation value."""
        return program.live

    def bytes(self, program: Program, points: int) -> int:
        """Working memory of one call on R·B = ``points``, in bytes."""
        raise NotImplementedError

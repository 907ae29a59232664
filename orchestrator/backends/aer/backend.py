"""Qiskit Aer: CPU or GPU, ideal or noisy."""

from __future__ import annotations

import difflib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.noise import Noise
from orchestrator.backends.base import AdjointEvaluator, Backend, Evaluator
from orchestrator.config.base import ValidationInfo, field_validator, refuse
from orchestrator.config.text import show
from orchestrator.errors import InputError
from orchestrator.models.circuits.program import Program

Device = Literal["CPU", "GPU"]
Method = Literal["statevector", "density_matrix", "matrix_product_state"]

_PROCESSOR = "gradient.backend.noise.processor"

_PRODUCT_QUBITS = 10
"""A matrix product state of more qubits is assumed to cost as much as a statevector of this many."""


class Aer(Backend):
    """Qiskit Aer's simulators.

    Aer computes exact expectation values, and shots are drawn from these. Aer itself samples nothing, since
    its counts depend on a circuit's position in a call.

    Attributes:
        device: ``GPU`` needs qiskit-aer-gpu, and one GPU per worker.
        method: noise after gates needs ``density_matrix``.
        noise: none if left out.
    """

    kind: Literal["aer"]
    device: Device = "CPU"
    method: Method = "statevector"
    noise: Noise = Noise()

    @field_validator("noise")
    @classmethod
    def _noise_is_exact(cls, noise: Noise, info: ValidationInfo) -> Noise:
        method = info.data.get("method")
        if (noise.on_gates or noise.processor) and method not in (None, "density_matrix"):
            raise refuse(
                f"acts after gates, which method: {method} cannot compute exactly; use method: density_matrix"
            )
        return noise

    @field_validator("method")
    @classmethod
    def _method_runs_on_device(cls, method: Method, info: ValidationInfo) -> Method:
        if info.data.get("device") == "GPU" and method == "matrix_product_state":
            raise refuse("runs on CPUs only; use method: statevector or density_matrix on device: GPU")
        return method

    @property
    def no_projector(self) -> str:
        """Why the backend does not evaluate projectors; empty if it does."""
        if self.noise.processor is not None:
            return "cannot have readout errors; leave gradient.backend.noise.processor out"
        if self.noise.readout > 0.0:
            return "cannot have readout errors; leave gradient.backend.noise.readout out"
        return super().no_projector

    @property
    def gpus(self) -> int:
        """1 on ``device: GPU``, else 0."""
        return int(self.device == "GPU")

    def check(self) -> None:
        """Raises InputError, at ``gradient.backend.device``, if Aer has no such device in this process."""
        from orchestrator.backends.aer.simulator import no_gpu

        if self.device == "GPU" and (reason := no_gpu()):
            raise InputError.at("gradient.backend.device", f"is GPU, but Aer offers CPU here: {reason}")

    def fits(self, program: Program) -> None:
        """Raises InputError if the processor is unknown, or cannot run the program as one circuit."""
        from orchestrator.backends.aer.processor import processor

        if self.noise.processor is None:
            return
        _check_name(self.noise.processor)
        if program.qubits > (most := processor(self.noise.processor).qubits):
            message = f"is {self.noise.processor}, which has {most} qubits; the circuit has {program.qubits}"
            raise InputError.at(_PROCESSOR, message)
        if program.amplitudes:
            message = "starts from |0…0>, but encoding: amplitude starts from another state"
            raise InputError.at(_PROCESSOR, message)
        if program.axes:
            message = "runs one circuit, but ansatz: random-pauli draws a new circuit in every step"
            raise InputError.at(_PROCESSOR, message)
        self._check_transpilation(program)

    def _check_transpilation(self, program: Program) -> None:
        from qiskit.exceptions import QiskitError

        try:
            self._simulated_qubits(program)
        except QiskitError as error:
            reason = " ".join(str(error.message).split())
            message = f"is {self.noise.processor}, for which Qiskit cannot transpile {program.name}: {reason}"
            raise InputError.at(_PROCESSOR, message) from error

    def amplitudes(self, qubits: int) -> float:
        """Returns the number of entries of the statevector or density matrix.

        Matrix product states have no fixed number: they count as a statevector of at most 10 qubits.
        """
        return 4.0**qubits if self.method == "density_matrix" else 2.0 ** min(qubits, _PRODUCT_QUBITS)

    def prepare(self, program: Program) -> Evaluator:
        """Prepares a program that ``fits``, as a parametrised circuit on Aer."""
        from orchestrator.backends.aer.expectation import AerProgram
        from orchestrator.backends.aer.simulator import simulator
        from orchestrator.backends.aer.transpiled import ProcessorProgram

        self.check()
        if self.noise.processor is not None:
            return ProcessorProgram(program, simulator(self.device, self.method), self.noise.processor)
        return AerProgram(program, simulator(self.device, self.method), self.noise, self.live_gates(program))

    @property
    def differentiates(self) -> bool:
        """True for ideal statevectors."""
        return self.method == "statevector" and self.noise == Noise()

    def adjoint(self, program: Program) -> AdjointEvaluator:
        """Prepares a program for adjoint differentiation.

        Its samples are on an index register; on a GPU, they are bindings of one circuit.
        """
        from orchestrator.backends.aer.adjoint import AerAdjoint
        from orchestrator.backends.aer.bound import BoundAdjoint
        from orchestrator.backends.aer.simulator import simulator

        self.check()
        aer = simulator(self.device, self.method)
        if self._binds_samples(program):
            return BoundAdjoint(program, aer, self.noise, self.live_gates(program))
        return AerAdjoint(program, aer)

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Returns the host's working memory, in bytes, of one adjoint gradient of R rows of B samples.

        A GPU's own memory is not counted.
        """
        from orchestrator.backends.aer import adjoint, bound

        scheme = bound if self._binds_samples(program) else adjoint
        return scheme.working_bytes(program, rows, samples)

    def _binds_samples(self, program: Program) -> bool:
        """Whether the adjoint scheme takes samples as bindings of one circuit."""
        return self.device == "GPU" and not program.amplitudes

    def live_gates(self, program: Program) -> NDArray[np.bool_]:
        """Returns [G], false for gates that cannot change an expectation value.

        With amplitude damping, any gate can: damping mixes the identity into the observable. The same holds
        on a processor, whose qubits relax.
        """
        if self.noise.amplitude_damping > 0.0 or self.noise.processor is not None:
            return np.ones(len(program.gates), np.bool_)
        return program.live

    def bytes(self, program: Program, points: int) -> int:
        """Returns the working memory, in bytes, of one call on R·B = ``points``.

        The memory of a matrix product state is not known in advance, and is not counted.
        """
        qubits = self._simulated_qubits(program)
        amplitudes = {"statevector": 2**qubits, "density_matrix": 4**qubits}
        return 16 * amplitudes.get(self.method, 0) + 8 * points * (len(program.gates) + 1)

    def _simulated_qubits(self, program: Program) -> int:
        from orchestrator.backends.aer.transpiled import simulated_qubits

        if self.noise.processor is None:
            return program.qubits
        return simulated_qubits(program, self.noise.processor)


def _check_name(processor: str) -> None:
    from orchestrator.backends.aer.processor import names

    if processor not in names():
        close = difflib.get_close_matches(processor, names(), 3)
        legal = f"did you mean {' or '.join(close)}?" if close else f"legal: {', '.join(names())}"
        raise InputError.at(_PROCESSOR, f"is {show(processor)}; {legal}")

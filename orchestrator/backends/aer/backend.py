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
"""Matrix products of more are taken to cost as much as a state of so many."""


class Aer(Backend):
    """Qiskit Aer's simulators.

    Expectation values are always computed, never sampled by Aer, whose counts depend on a circuit's place in
    a call; shots are drawn from them.

    Attributes:
        device: ``GPU`` needs qiskit-aer-gpu, and a card for each worker.
        method: ``density_matrix`` for noise behind gates.
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
            raise refuse(f"is behind gates, which method: {method} cannot have; use method: density_matrix")
        return noise

    @field_validator("method")
    @classmethod
    def _method_runs_on_device(cls, method: Method, info: ValidationInfo) -> Method:
        if info.data.get("device") == "GPU" and method == "matrix_product_state":
            raise refuse("runs on CPUs only; use method: statevector or density_matrix on device: GPU")
        return method

    @property
    def no_projector(self) -> str:
        """Why it does not evaluate projectors; empty if it does."""
        if self.noise.processor is not None:
            return "is not read out with errors; leave gradient.backend.noise.processor out"
        if self.noise.readout > 0.0:
            return "is not read out with errors; leave gradient.backend.noise.readout out"
        return super().no_projector

    @property
    def gpus(self) -> int:
        """One, on ``device: GPU``."""
        return int(self.device == "GPU")

    def check(self) -> None:
        """Raises InputError at ``gradient.backend.device`` if Aer has no such device in this process."""
        from orchestrator.backends.aer.simulator import no_gpu

        if self.device == "GPU" and (reason := no_gpu()):
            raise InputError.at("gradient.backend.device", f"is GPU, but Aer offers CPU here: {reason}")

    def fits(self, program: Program) -> None:
        """Raises InputError if there is no such processor, or it cannot run the program as one circuit."""
        from orchestrator.backends.aer.processor import processor

        if self.noise.processor is None:
            return
        _known(self.noise.processor)
        if program.qubits > (most := processor(self.noise.processor).qubits):
            message = f"is {self.noise.processor}, which has {most} qubits; needed are {program.qubits}"
            raise InputError.at(_PROCESSOR, message)
        if program.amplitudes:
            message = "starts from |0…0>, as processors do; encoding: amplitude is a state by itself"
            raise InputError.at(_PROCESSOR, message)
        if program.axes:
            message = "runs one circuit, but that of ansatz: random-pauli is drawn anew in every step"
            raise InputError.at(_PROCESSOR, message)
        self._transpiles(program)

    def _transpiles(self, program: Program) -> None:
        from qiskit.exceptions import QiskitError

        try:
            self._simulated_qubits(program)
        except QiskitError as error:
            reason = " ".join(str(error.message).split())
            message = f"is {self.noise.processor}, to which Qiskit cannot transpile {program.name}: {reason}"
            raise InputError.at(_PROCESSOR, message) from error

    def amplitudes(self, qubits: int) -> float:
        """Those of the state, or of the density matrix; of matrix products, which are not known, a few."""
        return 4.0**qubits if self.method == "density_matrix" else 2.0 ** min(qubits, _PRODUCT_QUBITS)

    def prepare(self, program: Program) -> Evaluator:
        """The program as a parametrised circuit on Aer."""
        from orchestrator.backends.aer.expectation import AerProgram
        from orchestrator.backends.aer.simulator import simulator
        from orchestrator.backends.aer.transpiled import ProcessorProgram

        self.check()
        if self.noise.processor is not None:
            return ProcessorProgram(program, simulator(self.device, self.method), self.noise.processor)
        return AerProgram(program, simulator(self.device, self.method), self.noise, self.reached(program))

    @property
    def differentiates(self) -> bool:
        """On ideal statevectors."""
        return self.method == "statevector" and self.noise == Noise()

    def adjoint(self, program: Program) -> AdjointEvaluator:
        """The program, its samples on an index register, or for a GPU as bindings of one circuit."""
        from orchestrator.backends.aer.adjoint import AerAdjoint
        from orchestrator.backends.aer.bound import BoundAdjoint
        from orchestrator.backends.aer.simulator import simulator

        self.check()
        ready = simulator(self.device, self.method)
        if self._bound(program):
            return BoundAdjoint(program, ready, self.noise, self.reached(program))
        return AerAdjoint(program, ready)

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one adjoint gradient of R rows of B samples, in bytes, beside that of a GPU."""
        from orchestrator.backends.aer import adjoint, bound

        scheme = bound if self._bound(program) else adjoint
        return scheme.working_bytes(program, rows, samples)

    def _bound(self, program: Program) -> bool:
        """Whether samples are bindings of one circuit, for the adjoint scheme."""
        return self.device == "GPU" and not program.amplitudes

    def reached(self, program: Program) -> NDArray[np.bool_]:
        """[G] false where a gate cannot change the expectation value.

        Amplitude damping mixes the identity into the observable, so then any gate may; and a processor's
        qubits relax.
        """
        if self.noise.amplitude_damping > 0.0 or self.noise.processor is not None:
            return np.ones(len(program.gates), np.bool_)
        return program.live

    def bytes(self, program: Program, points: int) -> int:
        """Working memory of one call on R·B = ``points``, in bytes; that of matrix products is not known."""
        qubits = self._simulated_qubits(program)
        amplitudes = {"statevector": 2**qubits, "density_matrix": 4**qubits}
        return 16 * amplitudes.get(self.method, 0) + 8 * points * (len(program.gates) + 1)

    def _simulated_qubits(self, program: Program) -> int:
        from orchestrator.backends.aer.transpiled import simulated_qubits

        if self.noise.processor is None:
            return program.qubits
        return simulated_qubits(program, self.noise.processor)


def _known(processor: str) -> None:
    from orchestrator.backends.aer.processor import names

    if processor not in names():
        close = difflib.get_close_matches(processor, names(), 3)
        legal = f"did you mean {' or '.join(close)}?" if close else f"legal: {', '.join(names())}"
        raise InputError.at(_PROCESSOR, f"is {show(processor)}; {legal}")

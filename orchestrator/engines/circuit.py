"""The base class of the engines that differentiate circuits."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import AdjointEvaluator, Backend
from orchestrator.backends.batched.backend import Batched
from orchestrator.config.families import OneOf
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Differentiator
from orchestrator.engines.measured.loss import BIASED, fewest_shots
from orchestrator.errors import InputError
from orchestrator.models import losses
from orchestrator.models.base import Built
from orchestrator.models.circuits.gates import Opcode
from orchestrator.models.circuits.program import Program
from orchestrator.models.layered import Layered
from orchestrator.models.stages import Bools


class CircuitEngine(Engine):
    """An engine that differentiates circuits, alone or between trained layers.

    Attributes:
        backend: evaluates the circuits.
    """

    backend: Annotated[Backend, OneOf()] = Batched(kind="batched")

    def differentiates(self, model: Built) -> bool:
        """True for circuits, and for layered models that contain a circuit."""
        return bool(model.circuits)

    @property
    def gpus(self) -> int:
        """Number of GPUs that the backend needs."""
        return self.backend.gpus

    def check(self) -> None:
        """Raises InputError if this process lacks a resource that the backend needs."""
        self.backend.check()

    def warm(self) -> None:
        """Loads Qiskit; for the batched backend also its kernel and Aer, which certifies it."""
        from orchestrator.models.circuits.circuit import Circuit

        self.certify(Circuit(kind="circuit", qubits=1, layers=1).build(0, 0), 0)

    def fits(self, model: Built, loss: str) -> None:
        """Raises InputError if the engine or its backend does not support the model or the loss."""
        programs = self._programs(model)
        for program in programs:
            self.backend.fits(program)
        projectors = any(o.projector for program in programs for o in program.observables)
        if projectors and (reason := self.backend.no_projector):
            raise InputError.at("model.observable", f"is a projector, which {reason}")
        if isinstance(model, Layered) and self.backend.shots is not None:
            message = (
                f"is {self.backend.shots}, but shots are not supported with trained layers around the "
                "circuit: the gradient would be biased and its variance unknown; leave shots out"
            )
            raise InputError.at("gradient.backend.shots", message)
        fewest = fewest_shots(loss, model.head)
        if self.backend.shots is not None and self.backend.shots < fewest:
            message = (
                f"is {self.backend.shots}, must be {fewest} or more with loss: {loss}, whose variance is "
                f"estimated from groups of {fewest} shots; or leave shots out for exact values"
            )
            raise InputError.at("gradient.backend.shots", message)

    @property
    def repeatable(self) -> bool:
        """Whether a repeated evaluation on the backend gives the same bits."""
        return self.backend.repeatable

    def biased(self, model: Built, loss: str) -> bool:
        """Whether shots bias the loss and its gradient."""
        return self.backend.shots is not None and (loss in BIASED or model.head != "expectation")

    def certify(self, model: Built, seed: int) -> float | None:
        """Compares the batched kernel with Aer: one random row's values and two components.

        Returns:
            The largest deviation over all circuits; None above 16 qubits, and on any other backend.

        Raises:
            CertificateError: a deviation is above ``certificate.tolerance``.
        """
        from orchestrator.engines.certificate import certify

        programs = self._programs(model)
        if not isinstance(self.backend, Batched):
            return None
        found = [certify(program, seed, self.backend.precision) for program in programs]
        return max((deviation for deviation in found if deviation is not None), default=None)

    def work(self, model: Built) -> float:
        """Amplitudes that live rotations update, plus the number of parameters, in all passes."""
        circuits = [
            int(np.count_nonzero(program.gates["opcode"][program.live] == Opcode.ROTATION))
            * self.backend.amplitudes(program.qubits)
            for program in model.circuits
        ]
        return self.passes(model) * (sum(circuits) + model.parameters)

    def passes(self, model: Built) -> float:
        """Approximate number of passes through the model for a gradient of one sample."""
        raise NotImplementedError

    def certified_gates(self, model: Built) -> int:
        """Number of gates that ``certify`` evaluates."""
        from orchestrator.engines.certificate import MOST_QUBITS

        programs = self._programs(model) if isinstance(self.backend, Batched) else ()
        return sum(len(program.gates) for program in programs if program.qubits <= MOST_QUBITS)

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of one model and loss.

        Raises:
            InputError: the model has no circuit, the loss does not suit it, or the backend is missing.
        """
        self.fits(model, loss)
        losses.check(loss, model.head, model.outputs, classes)
        if isinstance(model, Program):
            return self.prepare_circuit(model, loss, classes)
        assert isinstance(model, Layered)
        return self.prepare_layers(model, loss, classes)

    def prepare_circuit(self, program: Program, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a circuit."""
        raise NotImplementedError

    def prepare_layers(self, model: Layered, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a layered model, each of its circuits by ``pullback``."""
        from orchestrator.engines.circuit_stage import circuit_stages
        from orchestrator.engines.layered import LayeredDifferentiator

        ready = {program: self.pullback(program) for program in self._programs(model)}
        executions = sum(ready[program].executions for program in model.circuits)
        runners = model.runnables(circuit_stages(ready.__getitem__))
        return LayeredDifferentiator(model, runners, loss, classes, executions)

    def pullback(self, program: Program) -> AdjointEvaluator:
        """Prepares a circuit of a layered model for vector–Jacobian products."""
        raise NotImplementedError

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient besides the shard itself, in bytes.

        Args:
            model: a circuit, or a layered model that contains circuits.
            rows: R.
            samples: B.
        """
        self._programs(model)
        if isinstance(model, Program):
            return self.circuit_bytes(model, rows, samples)
        assert isinstance(model, Layered)
        return self.layers_bytes(model, rows, samples)

    def circuit_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one gradient of a circuit, in bytes."""
        raise NotImplementedError

    def layers_bytes(self, model: Layered, rows: int, samples: int) -> int:
        """Working memory of one gradient of a layered model that contains circuits, in bytes."""
        calls = model.calls(rows, samples)
        circuits = (self.pullback_bytes(call.program, call.rows, call.samples) for call in calls)
        return model.working_bytes(rows, samples) + max(circuits)

    def pullback_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one call of a ``pullback``, in bytes."""
        raise NotImplementedError

    def live_parameters(self, model: Built) -> NDArray[np.int64]:
        """Indices of the parameters that can change a prediction on the backend, ascending."""
        if isinstance(model, Program):
            return np.flatnonzero(~self._dead_on_backend(model))
        assert isinstance(model, Layered)
        return np.flatnonzero(~model.dead_in_stages(self._dead_on_backend))

    def _dead_on_backend(self, program: Program) -> Bools:
        """[P] true for parameters used by no gate in the light cone, which the backend's noise may widen."""
        return program.unused_by(self.backend.live_gates(program))

    def _programs(self, model: Built) -> tuple[Program, ...]:
        """The circuits of a model without duplicates; raises InputError if it has none."""
        if programs := tuple(dict.fromkeys(model.circuits)):
            return programs
        message = f"{self.engine} differentiates circuits only, not networks"
        raise InputError.at("gradient.engine", message)

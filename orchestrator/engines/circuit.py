"""What the engines for circuits share."""

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
        backend: what evaluates them.
    """

    backend: Annotated[Backend, OneOf()] = Batched(kind="batched")

    def differentiates(self, model: Built) -> bool:
        """True for circuits, and for layers with a circuit among them."""
        return bool(model.circuits)

    @property
    def gpus(self) -> int:
        """Number of GPUs that the backend needs."""
        return self.backend.gpus

    def check(self) -> None:
        """Raises InputError if this process lacks what the backend needs."""
        self.backend.check()

    def warm(self) -> None:
        """Loads Qiskit, and for the batched backend the kernel and Aer, which certifies it."""
        from orchestrator.models.circuits.circuit import Circuit

        self.certify(Circuit(kind="circuit", qubits=1, layers=1).build(0, 0), 0)

    def fits(self, model: Built, loss: str) -> None:
        """Raises InputError if the model or the loss has what the engine or its backend cannot take."""
        programs = self._programs(model)
        for program in programs:
            self.backend.fits(program)
        projectors = any(o.projector for program in programs for o in program.observables)
        if projectors and (reason := self.backend.no_projector):
            raise InputError.at("model.observable", f"is a projector, which {reason}")
        if isinstance(model, Layered) and self.backend.shots is not None:
            message = (
                f"is {self.backend.shots}, but trained layers stand around the circuit, through which shots "
                "give neither the right mean nor a known variance; leave shots out"
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
        """Whether the backend gives the same bits again."""
        return self.backend.repeatable

    def biased(self, model: Built, loss: str) -> bool:
        """Whether shots bias the loss and its gradient."""
        return self.backend.shots is not None and (loss in BIASED or model.head != "expectation")

    def certify(self, model: Built, seed: int) -> float | None:
        """Largest deviation of one random row's values and two components from Aer, on the batched kernel.

        None above 16 qubits, and on Aer itself.

        Raises:
            CertificateError: it is larger than 1e-9 (in complex64, than ``certificate.tolerance``).
        """
        from orchestrator.engines.certificate import certify

        programs = self._programs(model)
        if not isinstance(self.backend, Batched):
            return None
        found = [certify(program, seed, self.backend.precision) for program in programs]
        return max((deviation for deviation in found if deviation is not None), default=None)

    def work(self, model: Built) -> float:
        """Amplitudes, in all passes over all live rotations; and the weights of layers around circuits."""
        circuits = [
            int(np.count_nonzero(program.gates["opcode"][program.live] == Opcode.ROTATION))
            * self.backend.amplitudes(program.qubits)
            for program in model.circuits
        ]
        return self.passes(model) * (sum(circuits) + model.parameters)

    def passes(self, model: Built) -> float:
        """How often a gradient of one sample goes through a model, about."""
        raise NotImplementedError

    def certified_gates(self, model: Built) -> int:
        """How many gates ``certify`` evaluates."""
        from orchestrator.engines.certificate import MOST_QUBITS

        programs = self._programs(model) if isinstance(self.backend, Batched) else ()
        return sum(len(program.gates) for program in programs if program.qubits <= MOST_QUBITS)

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Makes ready for one model and loss.

        Raises:
            InputError: the model has no circuit, the loss does not go with it, or the backend is missing.
        """
        self.fits(model, loss)
        losses.check(loss, model.head, model.outputs, classes)
        if isinstance(model, Program):
            return self.prepare_circuit(model, loss, classes)
        assert isinstance(model, Layered)
        return self.prepare_layers(model, loss, classes)

    def prepare_circuit(self, program: Program, loss: str, classes: int) -> Differentiator:
        """Makes ready for a circuit."""
        raise NotImplementedError

    def prepare_layers(self, model: Layered, loss: str, classes: int) -> Differentiator:
        """Makes ready for layers with circuits among them, each by its ``pullback``."""
        from orchestrator.engines.circuit_stage import circuit_stages
        from orchestrator.engines.layered import LayeredDifferentiator

        ready = {program: self.pullback(program) for program in self._programs(model)}
        executions = sum(ready[program].executions for program in model.circuits)
        runners = model.runnables(circuit_stages(ready.__getitem__))
        return LayeredDifferentiator(model, runners, loss, classes, executions)

    def pullback(self, program: Program) -> AdjointEvaluator:
        """What gives derivatives of a circuit among layers."""
        raise NotImplementedError

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient beside the shard itself, in bytes.

        Args:
            model: a circuit, or layers with circuits among them.
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
        """Working memory of one gradient of layers with circuits among them, in bytes."""
        calls = model.calls(rows, samples)
        circuits = (self.pullback_bytes(call.program, call.rows, call.samples) for call in calls)
        return model.working_bytes(rows, samples) + max(circuits)

    def pullback_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one call of a ``pullback``, in bytes."""
        raise NotImplementedError

    def live_parameters(self, model: Built) -> NDArray[np.int64]:
        """The parameters that a prediction can feel on the backend, in order."""
        if isinstance(model, Program):
            return np.flatnonzero(~self._dead_on_backend(model))
        assert isinstance(model, Layered)
        return np.flatnonzero(~model.dead_in_stages(self._dead_on_backend))

    def _dead_on_backend(self, program: Program) -> Bools:
        """[P] true for parameters by which no gate turns that the backend's E depends on."""
        return program.unused_by(self.backend.reached(program))

    def _programs(self, model: Built) -> tuple[Program, ...]:
        """The circuits of a model, each once; raises InputError if it has none."""
        if programs := tuple(dict.fromkeys(model.circuits)):
            return programs
        message = f"{self.engine} differentiates circuits only, not networks"
        raise InputError.at("gradient.engine", message)

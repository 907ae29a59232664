"""Classical backpropagation over a pack, in NumPy."""

from __future__ import annotations

from typing import Literal

from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Differentiator
from orchestrator.engines.layered import LayeredDifferentiator
from orchestrator.errors import InputError
from orchestrator.models import losses
from orchestrator.models.base import Built
from orchestrator.models.circuits.program import Program
from orchestrator.models.layered import Layered
from orchestrator.models.stages import Runnable
from orchestrator.process import keep_freed_memory


class Backprop(Engine):
    """Exact gradients of a network, with second moments over samples."""

    engine: Literal["backprop"]

    def differentiates(self, model: Built) -> bool:
        """True for networks."""
        return isinstance(model, Layered) and not model.circuits

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of one network and loss.

        Raises:
            InputError: the model is no network, or the loss does not suit its head.
        """
        network = self._network(model)
        losses.check(loss, network.head, network.outputs, classes)
        keep_freed_memory()
        return LayeredDifferentiator(network, network.runnables(_refuse_circuit), loss, classes)

    def work(self, model: Built) -> float:
        """Three times the number of parameters: forward pass, backward pass, sums over samples."""
        return 3.0 * model.parameters

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient besides the shard itself, in bytes.

        Args:
            model: a network.
            rows: R.
            samples: B.
        """
        return self._network(model).working_bytes(rows, samples)

    def _network(self, model: Built) -> Layered:
        if not isinstance(model, Layered) or model.circuits:
            raise _circuit_error()
        return model


def _refuse_circuit(program: Program, fed: int) -> Runnable:  # noqa: ARG001
    """Raises InputError: a stage holds a circuit that its ``calls`` do not list."""
    raise _circuit_error()


def _circuit_error() -> InputError:
    return InputError.at("gradient.engine", "backprop differentiates networks only, not circuits")

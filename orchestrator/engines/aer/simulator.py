"""What Qiskit Aer offers on this machine, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.result import Result
    from qiskit_aer import AerSimulator


def devices() -> tuple[str, ...]:
    """Devices that Aer can simulate on, as ``("CPU", "GPU")``. Raises ImportError if it does not load."""
    from qiskit_aer import AerSimulator

    return tuple(AerSimulator().available_devices())


def options(device: str, method: str) -> dict[str, Any]:
    """The options of a simulator.

    One thread, so that bits do not depend on the number of CPUs. No fusion: it gives wrong phases from 14
    qubits on (qiskit-aer issue 2245). On a GPU all bindings of a circuit run as one batch, on one card:
    several give wrong values then (2244).
    """
    chosen = {"device": device, "method": method, "max_parallel_threads": 1, "fusion_enable": False}
    if device == "GPU":
        chosen |= {"runtime_parameter_bind_enable": True, "batched_shots_gpu": True, "target_gpus": [0]}
    return chosen


def simulator(device: str, method: str) -> AerSimulator:
    """A simulator with these ``options``."""
    from qiskit_aer import AerSimulator

    return AerSimulator(**options(device, method))


def run(simulator: AerSimulator, circuit: QuantumCircuit, binds: Sequence[Mapping[Any, Any]] = ()) -> Result:
    """Runs a circuit, once for each value that ``binds`` gives to its parameters.

    The job is dropped at once: it would keep its circuits alive (qiskit-aer issue 1857).

    Raises:
        RuntimeError: Aer failed; its own words.
    """
    result = simulator.run(circuit, parameter_binds=list(binds)).result()
    if not result.success:
        raise RuntimeError(f"Aer: {result.status}")
    return result

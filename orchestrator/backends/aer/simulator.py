"""What Qiskit Aer offers in this process, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.result import Result
    from qiskit_aer import AerSimulator

_INSTALL = (
    "on Linux with an NVIDIA card and a driver for CUDA 12 or newer: "
    "pip uninstall qiskit-aer, then pip install qiskit-aer-gpu"
)
"""Both packages are one module, so the former must go first."""


def devices() -> tuple[str, ...]:
    """Devices that Aer can simulate on, as ``("CPU", "GPU")``. Raises ImportError if it does not load."""
    return ("CPU",) if no_gpu() else ("CPU", "GPU")


@cache
def no_gpu() -> str:
    """Why Aer has no GPU in this process, and the way out; empty if it has.

    Aer's own list holds the devices that it was built for, with or without a card: so one circuit is run.
    Raises ImportError if Aer does not load.
    """
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

    if "GPU" not in AerSimulator().available_devices():
        return f"it is built for CPUs only; {_INSTALL}"
    circuit = QuantumCircuit(1)
    circuit.save_statevector()
    try:
        run(simulator("GPU", "statevector"), circuit)
    except (RuntimeError, ValueError) as error:
        return f"it says {str(error)!r}; look at the driver (nvidia-smi) and at CUDA_VISIBLE_DEVICES"
    return ""


def methods() -> tuple[str, ...]:
    """Methods of simulation that Aer offers. Raises ImportError if it does not load."""
    from qiskit_aer import AerSimulator

    return tuple(AerSimulator().available_methods())


def options(device: str, method: str) -> dict[str, Any]:
    """The options of a simulator.

    One thread, so that bits do not depend on the number of CPUs. No fusion: it gives wrong phases from 14
    qubits on (qiskit-aer issue 2245). One shot: nothing is sampled, and a batch might hold a state for each.

    On a GPU all bindings of a circuit run as one batch, in parts that fit into its memory; above 16 qubits
    (density matrices: 8) Aer runs one after another, and each keeps the card busy by itself. Batches go
    without cuStateVec, so all do.
    """
    chosen = {
        "device": device,
        "method": method,
        "max_parallel_threads": 1,
        "fusion_enable": False,
        "shots": 1,
    }
    if device == "GPU":
        chosen |= {
            "runtime_parameter_bind_enable": True,
            "batched_shots_gpu": True,
            "cuStateVec_enable": False,
        }
    return chosen


def run_options(device: str) -> dict[str, Any]:
    """What Aer takes only with each run: one card, the first that the process sees.

    Several give wrong values with bindings at run time (qiskit-aer issue 2244).
    """
    return {"target_gpus": [0]} if device == "GPU" else {}


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
    chosen = run_options(simulator.options.device)
    result = simulator.run(circuit, parameter_binds=list(binds), **chosen).result()
    if not result.success:
        raise RuntimeError(f"Aer: {result.status}")
    return result

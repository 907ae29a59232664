"""Qiskit Aer in this process: its devices and methods, its options, and runs of circuits."""

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
"""Both packages install the same module, so the CPU package must be removed first."""


def devices() -> tuple[str, ...]:
    """Returns the devices that Aer can simulate on, e.g. ``("CPU", "GPU")``.

    Raises ImportError if Aer does not load.
    """
    return ("CPU",) if no_gpu() else ("CPU", "GPU")


@cache
def no_gpu() -> str:
    """Returns why Aer has no GPU in this process, with a remedy; empty if it has one.

    Aer lists the devices that it was built for, whether or not they are present, so a circuit is run.
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
        return f"it fails with {str(error)!r}; check the driver (nvidia-smi) and CUDA_VISIBLE_DEVICES"
    return ""


def methods() -> tuple[str, ...]:
    """Returns the simulation methods that Aer offers. Raises ImportError if Aer does not load."""
    from qiskit_aer import AerSimulator

    return tuple(AerSimulator().available_methods())


def options(device: str, method: str) -> dict[str, Any]:
    """Returns the options of a simulator.

    There is one thread, so that bits do not depend on the number of CPUs. There is no fusion, which gives
    wrong phases from 14 qubits on (qiskit-aer issue 2245). There is one shot: nothing is sampled, and a batch
    might hold a state for each shot.

    On a GPU all bindings of a circuit run as one batch, in pieces that fit into its memory. Above 16 qubits
    (density matrices: 8) Aer runs the bindings one by one, as each keeps the GPU busy. Aer runs batches
    without cuStateVec, so it is off for all circuits.
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
    """Returns the options that Aer takes per run only: the first GPU that the process sees.

    With several GPUs, bindings at run time give wrong values (qiskit-aer issue 2244).
    """
    return {"target_gpus": [0]} if device == "GPU" else {}


def simulator(device: str, method: str) -> AerSimulator:
    """Returns a simulator with the ``options`` of a device and a method."""
    from qiskit_aer import AerSimulator

    return AerSimulator(**options(device, method))


def run(simulator: AerSimulator, circuit: QuantumCircuit, binds: Sequence[Mapping[Any, Any]] = ()) -> Result:
    """Runs a circuit, once for each binding of its parameters in ``binds``.

    The job is not kept: it would keep its circuits in memory (qiskit-aer issue 1857).

    Raises:
        RuntimeError: Aer failed, with Aer's message.
    """
    chosen = run_options(simulator.options.device)
    result = simulator.run(circuit, parameter_binds=list(binds), **chosen).result()
    if not result.success:
        raise RuntimeError(f"Aer: {result.status}")
    return result

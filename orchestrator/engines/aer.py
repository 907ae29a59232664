"""What Qiskit Aer offers on this machine."""

from __future__ import annotations


def devices() -> tuple[str, ...]:
    """Devices that Aer can simulate on, such as ``("CPU", "GPU")``.

    Raises:
        ImportError: Aer does not load on this machine.
    """
    from qiskit_aer import AerSimulator

    return tuple(AerSimulator().available_devices())

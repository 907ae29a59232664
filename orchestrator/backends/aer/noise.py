"""Noise of circuits on Aer."""

from __future__ import annotations

from orchestrator.config.base import Config, Field, ValidationInfo, field_validator, refuse


class Noise(Config):
    """Channels after each gate, on each qubit that the gate acts on, and readout errors.

    Gates are the rotations, CX and CZ that the circuit is read into, including fixed ones.

    Attributes:
        depolarizing: λ of ρ → (1-λ)ρ + λ·1/2.
        amplitude_damping: probability γ of decay from |1> to |0>. The channel follows the depolarising one.
        readout: probability that a measured bit is wrong, the same for 0 and 1.
        processor: name of a processor's snapshot, a class of qiskit_ibm_runtime.fake_provider. Circuits are
            transpiled for the processor and have its gate and readout noise, instead of all of the above.
    """

    depolarizing: float = Field(default=0.0, ge=0.0, le=1.0)
    amplitude_damping: float = Field(default=0.0, ge=0.0, le=1.0)
    readout: float = Field(default=0.0, ge=0.0, le=0.5)
    processor: str | None = None

    @field_validator("processor")
    @classmethod
    def _processor_is_alone(cls, processor: str | None, info: ValidationInfo) -> str | None:
        others = [name for name, value in info.data.items() if value]
        if processor is not None and others:
            raise refuse(f"has its own noise; leave {' and '.join(others)} out")
        return processor

    @property
    def on_gates(self) -> bool:
        """Whether a gate is followed by a channel that is not the identity."""
        return self.depolarizing > 0.0 or self.amplitude_damping > 0.0

"""What disturbs circuits on Aer."""

from __future__ import annotations

from orchestrator.config.base import Config, Field, ValidationInfo, field_validator, refuse


class Noise(Config):
    """Channels on each qubit that a gate acts on, right behind the gate, and errors of the readout.

    Gates are the rotations, CX and CZ that the circuit is read into, fixed ones included.

    Attributes:
        depolarizing: λ of ρ → (1-λ)ρ + λ·1/2.
        amplitude_damping: probability γ of falling from |1> to |0>; follows the depolarising channel.
        readout: probability that a measured qubit is reported wrongly, the same for 0 and 1.
        processor: a class of qiskit_ibm_runtime.fake_provider. Circuits are transpiled to the processor
            that it is a snapshot of, and gates and readout have its noise, in place of all the above.
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
            raise refuse(f"brings noise of its own; leave {' and '.join(others)} out")
        return processor

    @property
    def on_gates(self) -> bool:
        """Whether a gate is followed by a channel that is not the identity."""
        return self.depolarizing > 0.0 or self.amplitude_damping > 0.0

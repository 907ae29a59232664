"""The family of engines: the key ``gradient`` of a trial."""

from __future__ import annotations

from typing import ClassVar

from orchestrator.config.base import Config
from orchestrator.engines.gradient import Differentiator
from orchestrator.models.base import Built


class Engine(Config):
    """A method that computes the gradient of a shard. Its tag is the key ``engine``."""

    tags: ClassVar[tuple[str, ...]] = ("engine",)
    engine: str

    def differentiates(self, model: Built) -> bool:
        """Whether this engine can differentiate ``model``."""
        raise NotImplementedError

    @property
    def gpus(self) -> int:
        """Number of GPUs that a process needs to run the engine."""
        return 0

    def check(self) -> None:
        """Raises InputError if this process lacks a resource that the engine needs, such as a GPU."""

    def warm(self) -> None:
        """Loads the libraries and kernels that any first gradient needs; nothing by default."""

    def fits(self, model: Built, loss: str) -> None:
        """Raises InputError if the engine does not support the model or the loss."""

    @property
    def randomised(self) -> bool:
        """Whether gradients have another source of randomness than mini-batches and shots.

        A GradientSum has no variance for such a source.
        """
        return False

    @property
    def repeatable(self) -> bool:
        """Whether a trial that is run again gives the same bits, on one type of CPU."""
        return True

    def biased(self, model: Built, loss: str) -> bool:  # noqa: ARG002 - most engines are exact or unbiased
        """Whether the engine's estimates of a loss and its gradient are biased."""
        return False

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of one model and loss; called once per structure and process."""
        raise NotImplementedError

    def certify(self, model: Built, seed: int) -> float | None:  # noqa: ARG002 - most have nothing to check
        """Compares one row's value and two components of its gradient with an independent evaluation.

        Returns:
            The largest deviation; None if no certificate is due.

        Raises:
            CertificateError: a deviation is too large.
        """
        return None

    def work(self, model: Built) -> float:
        """Number of floats that a gradient of one sample updates; its time is about proportional to this."""
        raise NotImplementedError

    def certified_gates(self, model: Built) -> int:  # noqa: ARG002 - most have nothing to check
        """Number of gates that ``certify`` evaluates."""
        return 0

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one call on R = ``rows`` rows of B = ``samples`` samples each, in bytes."""
        raise NotImplementedError

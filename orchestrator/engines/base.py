"""The family of engines: the key ``gradient`` of a trial."""

from __future__ import annotations

from typing import ClassVar

from orchestrator.config.base import Config
from orchestrator.engines.gradient import Differentiator
from orchestrator.models.base import Built


class Engine(Config):
    """How the gradient of a shard is computed. A member's tag is its key ``engine``."""

    tags: ClassVar[tuple[str, ...]] = ("engine",)
    engine: str

    def differentiates(self, model: Built) -> bool:
        """Whether this engine can take ``model``."""
        raise NotImplementedError

    @property
    def gpus(self) -> int:
        """Number of GPUs that a process needs for it."""
        return 0

    def check(self) -> None:
        """Raises InputError if this process lacks what the engine needs, such as a GPU."""

    def warm(self) -> None:
        """Loads what a first gradient needs, whatever the model; nothing by default."""

    def fits(self, model: Built, loss: str) -> None:
        """Raises InputError if the model or the loss has what the engine cannot take."""

    @property
    def randomised(self) -> bool:
        """Whether gradients scatter by more than what a GradientSum knows of: mini-batches and shots."""
        return False

    @property
    def repeatable(self) -> bool:
        """Whether the same trial has the same bits when it is run again, on one type of CPU."""
        return True

    def biased(self, model: Built, loss: str) -> bool:  # noqa: ARG002 - most are exact, or have the right mean
        """Whether the engine's estimates of a loss and its gradient have another mean than the exact ones."""
        return False

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Makes ready for one model and loss; called once per structure and process."""
        raise NotImplementedError

    def certify(self, model: Built, seed: int) -> float | None:  # noqa: ARG002 - most have nothing to check
        """Largest deviation of one row's value and two components from an independent evaluation.

        None where no certificate is due. Raises CertificateError on a mismatch.
        """
        return None

    def work(self, model: Built) -> float:
        """How many numbers a gradient of one sample updates: its time is about proportional to that."""
        raise NotImplementedError

    def certified_gates(self, model: Built) -> int:  # noqa: ARG002 - most have nothing to check
        """How many gates ``certify`` evaluates."""
        return 0

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one call on ``rows`` rows of ``samples`` samples each, in bytes."""
        raise NotImplementedError

"""The family of layers (items of ``layers`` in a hybrid)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.config.base import Config
from orchestrator.errors import Fault
from orchestrator.models.stages import Stage


@dataclass(frozen=True)
class Position:
    """Position of a layer in a hybrid.

    Attributes:
        index: counted from 0, the layer that reads the data.
        last: whether the layer is the last one, whose outputs the loss reads.
        classes: number of classes of the data; 0 for regression.
    """

    index: int
    last: bool
    classes: int

    @property
    def path(self) -> str:
        """Path of the layer in the trial, for faults."""
        return f"model.layers.{self.index}"


class Layer(Config):
    """A layer of a hybrid: a dense one, any circuit, or another. A member's tag is its key ``kind``."""

    tags: ClassVar[tuple[str, ...]] = ("kind",)

    @property
    def summary(self) -> str:
        """Short description of the layer."""
        raise NotImplementedError

    def faults(self, position: Position) -> Iterator[Fault]:  # noqa: ARG002 - most layers fit at any position
        """Yields what is wrong with the layer at this position, for any number of inputs."""
        yield from ()

    def stages(self, position: Position, width: int) -> Sequence[tuple[str, Stage]]:
        """Returns the stages of the layer, at least one, each with the prefix of its groups' names.

        Args:
            position: a position for which ``faults`` yields nothing.
            width: number of inputs.

        Raises:
            InputError: the layer does not take this number of inputs; paths start with ``position.path``.
        """
        raise NotImplementedError

    @property
    def head(self) -> str:
        """How the loss reads the outputs if this is the last layer, one of ``models.losses.HEADS``."""
        return "linear"

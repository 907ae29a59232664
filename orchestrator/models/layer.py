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
    """Where a layer stands in a hybrid.

    Attributes:
        index: counted from 0, which is where the data come in.
        last: whether the loss sees what comes out.
        classes: of the data; 0 for regression.
    """

    index: int
    last: bool
    classes: int

    @property
    def path(self) -> str:
        """Of the layer, for faults."""
        return f"model.layers.{self.index}"


class Layer(Config):
    """A layer of a hybrid: a dense one, any circuit, or another. A member's tag is its key ``kind``."""

    tags: ClassVar[tuple[str, ...]] = ("kind",)

    @property
    def summary(self) -> str:
        """It in a few words."""
        raise NotImplementedError

    def faults(self, position: Position) -> Iterator[Fault]:  # noqa: ARG002 - most may stand anywhere
        """What is wrong with it where it stands, whatever comes in."""
        yield from ()

    def stages(self, position: Position, width: int) -> Sequence[tuple[str, Stage]]:
        """What it is made of, at least one stage, each with the name that its groups begin with.

        Args:
            position: of which it has no ``faults``.
            width: how many numbers come in.

        Raises:
            InputError: it cannot take so many; paths start with that of the position.
        """
        raise NotImplementedError

    @property
    def head(self) -> str:
        """What its outputs are to the loss if it is the last layer, one of ``models.losses.HEADS``."""
        return "linear"

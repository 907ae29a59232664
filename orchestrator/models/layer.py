"""The family of layers (items of ``layers`` in a hybrid)."""

from __future__ import annotations

from typing import ClassVar

from orchestrator.config import Config


class Layer(Config):
    """A layer of a hybrid: a dense one, or any circuit. A member's tag is its key ``kind``."""

    tags: ClassVar[tuple[str, ...]] = ("kind",)

    @property
    def summary(self) -> str:
        """It in a few words."""
        raise NotImplementedError

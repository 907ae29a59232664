"""A watcher that writes down what it is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from orchestrator.api.running import Counts, Watcher
from orchestrator.driver.driver import Progress
from orchestrator.sweep.file import Sweep


class Diary(Watcher):
    """Writes down what it is told, once each; may stop the sweep after some commits."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.heard: dict[str, Any] = {}
        self._stop_after = stop_after
        self._stop: Callable[[], None] = lambda: None

    def opened(self, sweep: Sweep, out: Path, counts: Counts) -> None:  # noqa: ARG002
        self.heard["opened"] = (sweep.name, counts.kept, counts.begun, counts.new)

    def placed(self, where: str, workers: int) -> None:
        self.heard["placed"] = (where, workers)

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
        self._stop = stop
        self.heard["running"] = True
        return super().running(stop)

    def advanced(self, progress: Progress) -> None:
        self.heard["advanced"] = progress
        if self._stop_after is not None and progress.commits >= self._stop_after:
            self._stop()

    def compacting(self) -> None:
        self.heard["compacting"] = True

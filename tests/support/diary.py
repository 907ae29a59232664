"""A watcher that records its calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from orchestrator.api.running import Counts, Watcher
from orchestrator.driver.driver import Progress
from orchestrator.sweep.file import Sweep


class Diary(Watcher):
    """Records the arguments of its calls, the last ones per method; may stop the sweep after some commits."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: dict[str, Any] = {}
        self._stop_after = stop_after
        self._stop: Callable[[], None] = lambda: None

    def opened(self, sweep: Sweep, out: Path, counts: Counts) -> None:  # noqa: ARG002
        self.calls["opened"] = (sweep.name, counts.kept, counts.begun, counts.new)

    def placed(self, where: str, workers: int) -> None:
        self.calls["placed"] = (where, workers)

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
        self._stop = stop
        self.calls["running"] = True
        return super().running(stop)

    def advanced(self, progress: Progress) -> None:
        self.calls["advanced"] = progress
        if self._stop_after is not None and progress.commits >= self._stop_after:
            self._stop()

    def compacting(self) -> None:
        self.calls["compacting"] = True

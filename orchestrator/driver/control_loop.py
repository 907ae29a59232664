"""Where the driver takes requests and says how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from orchestrator.driver.driver import Progress
from orchestrator.runs.control import SavedProgress

_POLL_S = 1.0


class Requests(Protocol):
    """Where requests come in: ``runs.control.Control``."""

    @property
    def cancelled(self) -> bool: ...
    @property
    def stopped(self) -> frozenset[str]: ...
    def forget_cancel(self) -> None: ...
    def write(self, progress: SavedProgress) -> None: ...


class Driven(Protocol):
    """What can be asked of a driver."""

    def stop(self) -> None: ...
    def cancel(self, trials: Iterable[str]) -> None: ...


class ControlLoop:
    """Looks for requests every second; writes the progress at the start and with every commit.

    A request to stop that was there before is forgotten: it was meant for another driver. Requests to end
    trials hold until the sweep is finished.
    """

    def __init__(self, driver: Driven, requests: Requests, progress: Progress) -> None:
        self._driver, self._requests = driver, requests
        self._stopped: frozenset[str] = frozenset()
        self._started_at, self._polled_at, self._commits = time.time(), 0.0, progress.commits
        requests.forget_cancel()
        self._write(progress)

    def poll(self, progress: Progress) -> None:
        """Called whenever the driver has a moment."""
        if time.monotonic() - self._polled_at >= _POLL_S:
            self._polled_at = time.monotonic()
            self._obey()
        if progress.commits != self._commits:
            self._commits = progress.commits
            self._write(progress)

    def _obey(self) -> None:
        if self._requests.cancelled:
            self._requests.forget_cancel()
            self._driver.stop()
        stopped = self._requests.stopped
        if new := stopped - self._stopped:
            self._stopped = stopped
            self._driver.cancel(new)

    def _write(self, progress: Progress) -> None:
        ended = progress.kept + progress.ended
        times = self._started_at, time.time()
        self._requests.write(
            SavedProgress(progress.trials, ended, progress.steps, progress.steps_left, *times)
        )

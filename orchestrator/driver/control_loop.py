"""Passes requests on to the driver, and writes how far the sweep is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from orchestrator.driver.driver import Progress
from orchestrator.runs.control import SavedProgress

_POLL_S = 1.0


class Requests(Protocol):
    """The requests to a driver, and its progress: ``runs.control.Control``."""

    @property
    def cancelled(self) -> bool: ...
    @property
    def stopped(self) -> frozenset[str]: ...
    def forget_cancel(self) -> None: ...
    def write(self, progress: SavedProgress) -> None: ...


class ControlledDriver(Protocol):
    """The methods of a driver that requests call."""

    def stop(self) -> None: ...
    def cancel(self, trials: Iterable[str]) -> None: ...


class ControlLoop:
    """Polls for requests every second; writes the progress at the start and after every commit.

    A request to stop from before the start is removed: it was meant for another driver. Requests to end
    trials hold until the sweep is finished.
    """

    def __init__(self, driver: ControlledDriver, requests: Requests, progress: Progress) -> None:
        self._driver, self._requests = driver, requests
        self._stopped: frozenset[str] = frozenset()
        self._started_at, self._polled_at, self._commits = time.time(), 0.0, progress.commits
        requests.forget_cancel()
        self._write(progress)

    def poll(self, progress: Progress) -> None:
        """Handles requests and writes the progress where due; called in every round of the sweep loop."""
        if time.monotonic() - self._polled_at >= _POLL_S:
            self._polled_at = time.monotonic()
            self._handle_requests()
        if progress.commits != self._commits:
            self._commits = progress.commits
            self._write(progress)

    def _handle_requests(self) -> None:
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

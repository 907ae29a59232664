"""Reports a running sweep to Ray's metrics, which its dashboard and Prometheus read."""

from __future__ import annotations

import time
from typing import Protocol

from ray.util.metrics import Counter, Gauge, Histogram

_EVERY_S = 1.0
_COMMIT_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
_TAGS = ("sweep",)


class SweepCounts(Protocol):
    """How far a sweep is, as numbers that only grow.

    Attributes:
        ended: ended trials, including failed ones.
        steps: trial-steps done.
        commit_seconds: total time of all commits.
    """

    ended: int
    failed: int
    steps: int
    commits: int
    commit_seconds: float


class RayMetrics:
    """Reports a sweep from a process that is connected to Ray.

    Its metrics, each with the tag ``sweep``: ``orchestrator_trials_done`` (ended without failing),
    ``orchestrator_trials_failed``, ``orchestrator_steps`` (trial-steps), ``orchestrator_steps_per_second``
    and ``orchestrator_commit_seconds`` (a histogram).

    Args:
        sweep: name of the sweep.
    """

    def __init__(self, sweep: str) -> None:
        self._done = Counter("orchestrator_trials_done", "Trials that have ended without failing", _TAGS)
        self._failed = Counter("orchestrator_trials_failed", "Trials that have failed", _TAGS)
        self._steps = Counter("orchestrator_steps", "Trial-steps done", _TAGS)
        self._rate = Gauge("orchestrator_steps_per_second", "Trial-steps per second", _TAGS)
        self._commit = Histogram("orchestrator_commit_seconds", "Time of a commit", _COMMIT_SECONDS, _TAGS)
        for metric in (self._done, self._failed, self._steps, self._rate, self._commit):
            metric.set_default_tags({"sweep": sweep})
        self._reported = {"done": 0, "failed": 0, "steps": 0}
        self._commits, self._commit_seconds = 0, 0.0
        self._reported_at = time.monotonic()

    def report(self, counts: SweepCounts) -> None:
        """Reports new counts: commits immediately, all others once a second."""
        self._report_commits(counts)
        now = time.monotonic()
        if now - self._reported_at >= _EVERY_S:
            self._rate.set((counts.steps - self._reported["steps"]) / (now - self._reported_at))
            self._reported_at = now
            self.flush(counts)

    def flush(self, counts: SweepCounts) -> None:
        """Reports all counts as they are now."""
        now = {"done": counts.ended - counts.failed, "failed": counts.failed, "steps": counts.steps}
        counters = {"done": self._done, "failed": self._failed, "steps": self._steps}
        for name, counter in counters.items():
            if new := now[name] - self._reported[name]:
                counter.inc(new)
        self._reported = now

    def _report_commits(self, counts: SweepCounts) -> None:
        if new := counts.commits - self._commits:
            self._commit.observe((counts.commit_seconds - self._commit_seconds) / new)
            self._commits, self._commit_seconds = counts.commits, counts.commit_seconds

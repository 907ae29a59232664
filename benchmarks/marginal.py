"""What one more trial costs: the difference between two sweeps that differ in their number of trials."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import tune
from benchmarks.whole import WORKERS


@dataclass(frozen=True)
class Marginal:
    """Two sweeps that differ in their number of trials only, and the seconds of the whole call of each."""

    trials: tuple[int, int]
    smaller_s: float
    larger_s: float

    @property
    def trial_s(self) -> float:
        """Seconds that one more trial costs: what starts and ends a sweep is in both calls."""
        smaller, larger = self.trials
        return (self.larger_s - self.smaller_s) / (larger - smaller)


def table(own: list[Marginal], peers: dict[str, Marginal]) -> str:
    """The table of whole calls and of what one more trial costs."""
    ordered = sorted(own, key=lambda measured: measured.trial_s)
    middle = ordered[len(ordered) // 2]
    lines = ["| | trials | whole calls, s | one more trial, ms |", "|---|---|---|---|"]
    for name, measured in {"orchestrator, median": middle, **peers}.items():
        (few, many), calls = measured.trials, f"{measured.smaller_s:.1f}, {measured.larger_s:.1f}"
        lines.append(f"| {name} | {few:,}, {many:,} | {calls} | {1e3 * measured.trial_s:.3g} |")
    for name, measured in peers.items():
        lines.append(f"| {name} / orchestrator | | | {measured.trial_s / middle.trial_s:.0f} |")
    each = ", ".join(f"{1e3 * measured.trial_s:.3g}" for measured in ordered)
    return (
        f"Trials of {tune.STEPS} steps of the 8→10→1 network on {WORKERS} workers; ours before, between and "
        f"after the peers: {each} ms.\n\n" + "\n".join(lines)
    )

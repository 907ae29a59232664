"""The cost of one more trial: the difference between two sweeps that differ in their number of trials."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import tune
from benchmarks.whole import WORKERS


@dataclass(frozen=True)
class Marginal:
    """Two sweeps that differ in their number of trials only.

    Attributes:
        trials: their numbers of trials.
        smaller_s: seconds of the whole call of the smaller sweep.
        larger_s: seconds of the whole call of the larger sweep.
    """

    trials: tuple[int, int]
    smaller_s: float
    larger_s: float

    @property
    def trial_s(self) -> float:
        """Seconds per additional trial; start and end of a sweep cancel, as both calls include them."""
        smaller, larger = self.trials
        return (self.larger_s - self.smaller_s) / (larger - smaller)


def table(own: list[Marginal], peers: dict[str, Marginal]) -> str:
    """Returns a table of whole calls and of the cost of one more trial."""
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

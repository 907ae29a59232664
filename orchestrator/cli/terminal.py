"""Progress of a running sweep on a terminal, and the handling of Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.api.running import Watcher
from orchestrator.cli import show
from orchestrator.cli.plan_notes import warn
from orchestrator.cli.supervised import FORWARDED

if TYPE_CHECKING:
    from orchestrator.driver.counts import Counts
    from orchestrator.driver.driver import Progress
    from orchestrator.sweep.file import Sweep

_PLAIN_INTERVAL_S = 5.0


class Terminal(Watcher):
    """Shows a progress bar on a terminal, or prints plain lines if standard output is none.

    Attributes:
        signal: number of the signal that stopped the sweep, if one did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._started = self._printed = time.monotonic()
        self._bar: Any = None
        self._steps = 0
        self._newest = ""

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:
        """Prints how many trials the run holds, and what was damaged or left out."""
        self._steps = counts.steps
        if counts.damaged:
            damaged = show.count(counts.damaged, "damaged commit")
            click.echo(f"removed {damaged}; their trials resume from their last intact state", err=True)
        click.echo(_contents(sweep, out, counts))
        if counts.abandoned:
            others = show.count(counts.abandoned, "trial")
            kept = "is kept" if counts.abandoned == 1 else "are kept"
            click.echo(f"{others} of other sweeps {kept} but left out: {counts.why}")
        warn(sweep.plan)

    def placed(self, where: str, workers: int) -> None:
        """Prints where the sweep runs; starts the progress bar."""
        click.echo(f"{where}, {show.count(workers, 'worker')}")
        self._started = self._printed = time.monotonic()
        if sys.stdout.isatty():
            self._bar = show.progress_bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=self._steps)

    def advanced(self, progress: Progress) -> None:
        """Moves the bar, or prints a line every few seconds."""
        self._newest = text = self._text(progress)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._steps - progress.steps_left, description=text)
        elif time.monotonic() - self._printed > _PLAIN_INTERVAL_S:
            self._printed = time.monotonic()
            click.echo(text)

    def _text(self, progress: Progress) -> str:
        rate = progress.steps / max(1e-9, time.monotonic() - self._started)
        trials = f"{progress.kept + progress.ended:,} of {show.count(progress.trials, 'trial')}"
        if not progress.steps and not progress.ended:
            return f"{trials}, no results yet"
        text = f"{trials}, {rate:,.0f} steps/s, newest loss {show.number(progress.loss)}"
        if progress.failed:
            text += f", {progress.failed:,} failed"
        if progress.diverged:
            text += f", {progress.diverged:,} diverged"
        return text

    def compacting(self) -> None:
        """Prints the final progress, and that the tables are being finished."""
        is_plain = self._bar is None and self._newest
        self.end()
        if is_plain:
            click.echo(self._newest)
        click.echo("finishing the tables")

    def end(self) -> None:
        """Removes the progress bar, which restores the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @contextmanager
    def running(self, stop: Callable[[], None]) -> Iterator[None]:
        """Handles SIGINT and SIGTERM: the first commits running work and stops, the second exits at once.

        One signal may arrive twice: from its sender, and forwarded by the parent process. The two are counted
        separately, and the larger count decides.
        """
        originals = {forwarded: original for original, forwarded in FORWARDED.items()}
        counts = {True: 0, False: 0}

        def handle(number: int, _: Any) -> None:
            counts[number in originals] += 1
            number = originals.get(signal.Signals(number), number)
            if max(counts.values()) > 1:
                self.end()
                os._exit(128 + number)
            if self.signal is None:
                self.signal = number
                click.echo("\nfinishing and committing running work (again: exit at once)", err=True)
                stop()

        numbers = (*FORWARDED, *originals)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items() if self.signal is None else ():
                signal.signal(number, handler)  # else a second one may still come, while Ray shuts down


def _contents(sweep: Sweep, out: Path | str, counts: Counts) -> str:
    """Returns a line on how much of a sweep its run holds."""
    trials = show.count(sweep.plan.count, "trial")
    if not (counts.begun or counts.new):
        return f"nothing left to run: {f'all {trials} are' if counts.kept > 1 else 'its trial is'} in {out}"
    amounts = [f"{counts.kept:,} kept", f"{counts.begun:,} begun", f"{counts.new:,} new"]
    if counts.again:
        amounts[-1] += f", {counts.again:,} of them failed before"
    return f"{sweep.name}: {trials} ({', '.join(amounts)}) → {out}"

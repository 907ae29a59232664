"""How a running sweep looks on a terminal, and what Ctrl-C does."""

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
from orchestrator.cli.attended import RELAYED
from orchestrator.cli.plans import warn

if TYPE_CHECKING:
    from orchestrator.driver.counts import Counts
    from orchestrator.driver.driver import Progress
    from orchestrator.sweep.file import Sweep

_PLAIN_SECONDS = 5.0


class Terminal(Watcher):
    """Shows a sweep on a terminal; prints plain lines where there is none."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._started = self._shown = time.monotonic()
        self._bar: Any = None
        self._steps = 0
        self._newest = ""

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:
        """Says what is there already."""
        self._steps = counts.steps
        parts = [f"{counts.kept:,} kept", f"{counts.begun:,} begun", f"{counts.new:,} new"]
        if counts.again:
            parts[-1] += f", {counts.again:,} of them failed before"
        if counts.damaged:
            lost = show.count(counts.damaged, "damaged commit")
            click.echo(f"swept away {lost}; their trials go on from the state before", err=True)
        click.echo(f"{sweep.name}: {show.count(sweep.plan.count, 'trial')} ({', '.join(parts)}) → {out}")
        if counts.abandoned:
            others = show.count(counts.abandoned, "trial")
            kept = "is kept" if counts.abandoned == 1 else "are kept"
            click.echo(f"{others} of other sweeps {kept} but left out: {counts.why}")
        warn(sweep.plan)

    def placed(self, where: str, workers: int) -> None:
        """Says where it runs."""
        click.echo(f"{where}, {show.count(workers, 'worker')}")
        self._started = self._shown = time.monotonic()
        if sys.stdout.isatty():
            self._bar = show.progress_bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=self._steps)

    def advanced(self, progress: Progress) -> None:
        """Moves the bar, or prints a line every few seconds."""
        self._newest = text = self._text(progress)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._steps - progress.steps_left, description=text)
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._shown = time.monotonic()
            click.echo(text)

    def _text(self, progress: Progress) -> str:
        rate = progress.steps / max(1e-9, time.monotonic() - self._started)
        trials = f"{progress.kept + progress.ended:,} of {show.count(progress.trials, 'trial')}"
        if not progress.steps and not progress.ended:
            return f"{trials}, nothing has come back yet"
        text = f"{trials}, {rate:,.0f} steps/s, loss {show.number(progress.loss)}"
        if progress.failed:
            text += f", {progress.failed:,} failed"
        if progress.diverged:
            text += f", {progress.diverged:,} diverged"
        return text

    def compacting(self) -> None:
        """The last act; it can take a while after a long sweep."""
        plain = self._bar is None and self._newest
        self.end()
        if plain:
            click.echo(self._newest)
        click.echo("finishing the tables")

    def end(self) -> None:
        """Puts the terminal back as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @contextmanager
    def running(self, stop: Callable[[], None]) -> Iterator[None]:
        """SIGINT or SIGTERM once: commit what is under way and leave; twice: leave now.

        A signal may come twice over, from its sender and from the parent: what counts is who has sent more.
        """
        originals = {handed: sent for sent, handed in RELAYED.items()}
        counts = {True: 0, False: 0}

        def handle(number: int, _: Any) -> None:
            counts[number in originals] += 1
            number = originals.get(signal.Signals(number), number)
            if max(counts.values()) > 1:
                self.end()
                os._exit(128 + number)
            if self.signal is None:
                self.signal = number
                click.echo("\nfinishing what is under way (once more: leave at once)", err=True)
                stop()

        numbers = (*RELAYED, *originals)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items() if self.signal is None else ():
                signal.signal(number, handler)  # else a second one may come yet, while Ray is being closed

"""``orchestrator run``: a sweep, here or on the Ray cluster that runs here."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.api import Counts, Watcher
from orchestrator.cli import show
from orchestrator.cli.options import overrides, sweep_file

if TYPE_CHECKING:
    from orchestrator.driver.driver import Progress
    from orchestrator.sweep.file import Sweep

_PLAIN_SECONDS = 5.0


@click.command()
@sweep_file
@click.option("--out", type=click.Path(), help="The run directory.  [default: runs/<name>]")
@click.option("--inline", is_flag=True, help="In this process, without Ray.")
@click.option("--address", help="Ray cluster to join.  [default: the one running here, else a local one]")
@click.option("--workers", type=click.IntRange(1), help="Ray workers.  [default: one for every CPU]")
@overrides
@click.option("--mixed-versions", is_flag=True, help="Go on with a run that other versions began.")
def run(
    sweep: Path,
    out: str | None,
    inline: bool,
    address: str | None,
    workers: int | None,
    overrides: tuple[str, ...],
    mixed_versions: bool,
) -> None:
    """Run a sweep, or complete a run that was interrupted or has grown.

    Exit codes: 0 all trials done or diverged, 1 some failed, 2 bad input, 130 or 143 interrupted.

    \b
    Example:
      orchestrator run jobs/quickstart.yaml
      orchestrator run my.yaml --workers 4 --set base.steps=10 --out /data/trial-run
    """
    from orchestrator import api
    from orchestrator.reports.summary import summary
    from orchestrator.traces.read import Run

    if inline and (address or workers):
        raise click.UsageError("--inline runs without Ray; leave --address and --workers out")
    terminal = Terminal()
    where = api.Where(inline, address, workers)
    result = api.run(
        sweep, out, where=where, overrides=overrides, mixed_versions=mixed_versions, watcher=terminal
    )
    terminal.end()
    if not result.finished:
        click.echo("stopped; everything that came back is committed. To go on:\n  " + _command())
        raise SystemExit(128 + (terminal.signal or signal.SIGINT))
    click.echo()
    frame = summary(Run(result.out))
    show.frame(frame.header, frame.rows)
    click.echo(_next(result.out))
    raise SystemExit(result.exit_code)


def _command() -> str:
    return shlex.join(["orchestrator", *sys.argv[1:]])


def _next(out: Path) -> str:
    return (
        f"\nThe tables are in {out}/{{trials,steps,gradients,parameters}}/*.parquet. Next, for example:\n"
        f"  orchestrator analyse {out}\n"
        f"  python -c \"import pandas as pd; print(pd.read_parquet('{out}/steps'))\""
    )


class Terminal(Watcher):
    """Shows a sweep on a terminal; prints plain lines where there is none."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._started = self._shown = time.monotonic()
        self._bar: Any = None

    def opened(self, sweep: Sweep, out: Path, counts: Counts) -> None:
        """Says what is there already."""
        parts = [f"{counts.kept:,} kept", f"{counts.begun:,} begun", f"{counts.new:,} new"]
        if counts.abandoned:
            parts.append(f"{counts.abandoned:,} no longer in the sweep")
        if counts.damaged:
            lost = show.count(counts.damaged, "damaged commit")
            click.echo(f"swept away {lost}; their trials go on from the state before", err=True)
        click.echo(f"{sweep.name}: {show.count(sweep.plan.count, 'trial')} ({', '.join(parts)}) → {out}")

    def placed(self, where: str, workers: int) -> None:
        """Says where it runs."""
        click.echo(f"{where}, {show.count(workers, 'worker')}")
        self._started = self._shown = time.monotonic()
        if sys.stdout.isatty():
            self._bar = show.progress_bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=None)

    def advanced(self, progress: Progress) -> None:
        """Moves the bar, or prints a line every few seconds."""
        text = self._text(progress)
        if self._bar is not None:
            done = progress.kept + progress.ended
            self._bar.update(self._task, total=progress.trials, completed=done, description=text)
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._shown = time.monotonic()
            click.echo(f"{progress.kept + progress.ended:,} of {progress.trials:,} trials, {text}")

    def _text(self, progress: Progress) -> str:
        rate = progress.steps / max(1e-9, time.monotonic() - self._started)
        text = f"{rate:,.0f} steps/s, loss {show.number(progress.loss)}"
        if progress.failed:
            text += f", {progress.failed:,} failed"
        if progress.diverged:
            text += f", {progress.diverged:,} diverged"
        return text

    def compacting(self) -> None:
        """The last act."""
        self.end()

    def end(self) -> None:
        """Puts the terminal back as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @contextmanager
    def running(self, stop: Callable[[], None]) -> Iterator[None]:
        """SIGINT or SIGTERM once: commit what is under way and leave; twice: leave now."""

        def handle(number: int, _: Any) -> None:
            if self.signal is not None:
                self.end()
                os._exit(128 + number)
            self.signal = number
            click.echo("\nfinishing what is under way (once more: leave at once)", err=True)
            stop()

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

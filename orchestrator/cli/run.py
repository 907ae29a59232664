"""``orchestrator run``: a sweep, here or on the Ray cluster that runs here."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from orchestrator.cli import show
from orchestrator.cli.going_on import CLUSTER_GONE, command, gone
from orchestrator.cli.options import overrides, sweep_file, trust, without_secrets, workers
from orchestrator.errors import ClusterLost


@click.command()
@sweep_file
@click.option(
    "--out",
    type=click.Path(),
    callback=without_secrets,
    help="The run directory, or s3://bucket/….  [default: runs/<name>]",
)
@click.option("--inline", is_flag=True, help="In this process, without Ray.")
@click.option(
    "--address",
    callback=without_secrets,
    help="Ray cluster to join.  [default: the one running here, else a local one]",
)
@workers
@overrides
@trust
@click.option("--mixed-versions", is_flag=True, help="Go on with a run that other versions began.")
@click.option("--retry-failed", is_flag=True, help="Run the trials that failed before once more.")
@click.option("--shipped", type=click.Path(path_type=Path), default="/", hidden=True)
def run(
    sweep: Path,
    out: str | None,
    inline: bool,
    address: str | None,
    workers: int | None,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    mixed_versions: bool,
    retry_failed: bool,
    shipped: Path,
) -> None:
    """Run a sweep, or complete a run that was interrupted or has grown.

    Exit codes: 0 all trials done or diverged, 1 some failed or stopped early, 2 bad input, 3 the Ray cluster
    is gone, 130 or 143 interrupted.

    \b
    Example:
      orchestrator run jobs/quickstart.yaml
      orchestrator run my.yaml --workers 4 --set base.steps=10 --out /data/trial-run
    """
    from orchestrator.api import running
    from orchestrator.api.placing import Where
    from orchestrator.cli import output
    from orchestrator.cli.terminal import Terminal
    from orchestrator.reports.summary import summary
    from orchestrator.runs.reader import Run
    from orchestrator.tables.schema import TABLES

    if inline and (address or workers):
        raise click.UsageError("--inline runs without Ray; leave --address and --workers out")
    output.go_on_without()
    terminal = Terminal()
    where = Where(inline, address, workers)
    try:
        result = running.run(
            sweep,
            out,
            where=where,
            overrides=overrides,
            mixed_versions=mixed_versions,
            retry_failed=retry_failed,
            watcher=terminal,
            root=shipped,
            trust=trust,
        )
    except ClusterLost as error:
        terminal.end()
        click.echo(gone(str(error), "everything that came back is committed"), err=True)
        raise SystemExit(CLUSTER_GONE) from None
    terminal.end()
    if not result.finished and result.stopped_by and terminal.signal is None:
        click.echo(_stopped_early(*result.stopped_by))
        raise SystemExit(result.exit_code)
    if not result.finished:
        click.echo("stopped; everything that came back is committed. To go on:\n  " + command())
        raise SystemExit(128 + (terminal.signal or signal.SIGINT))
    click.echo()
    done = Run(result.out)
    frame = summary(done)
    show.frame(frame.header, frame.rows)
    click.echo(_next(result.out, [table for table in TABLES if done.files(table)]))
    raise SystemExit(result.exit_code)


def _stopped_early(failure: str, count: int) -> str:
    again = command() if "--retry-failed" in sys.argv else f"{command()} --retry-failed"
    return (
        f"stopped early, as stop_after.identical_failures asks: {show.count(count, 'trial')} failed alike\n"
        f"  ({failure})\n"
        "What was done is committed. Remove the cause; then go on, the failed trials included:\n"
        f"  {again}"
    )


def _next(out: Path | str, tables: list[str]) -> str:
    """Where the tables are, those that have rows, and what may be done with them."""
    folder, query, options = str(out).partition("?")
    named = f"{{{','.join(tables)}}}" if len(tables) > 1 else tables[0]
    table = "steps" if "steps" in tables else tables[0]
    place = json.dumps(f"{folder}/{table}{query}{options}", ensure_ascii=False)  # quoted as Python reads it
    code = f"import pandas as pd; print(pd.read_parquet({place}))"
    return (
        f"\nThe tables are in {folder}/{named}/*.parquet. Next, for example:\n"
        f"  {show.command('orchestrator', 'analyse', show.path(out))}\n"
        f"  {show.command('python', '-c', code)}"
    )

"""``orchestrator run``: runs a sweep in this process, on a local Ray or on a running cluster."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from orchestrator.cli import show
from orchestrator.cli.options import overrides, sweep_file, trust, without_secrets, workers
from orchestrator.cli.resuming import CLUSTER_GONE, cluster_gone, resume_command, stopped
from orchestrator.errors import ClusterLost


@click.command()
@sweep_file
@click.option(
    "--out",
    type=click.Path(),
    callback=without_secrets,
    help="The run directory, or s3://bucket/….  [default: runs/<name>]",
)
@click.option("--inline", is_flag=True, help="Run in this process, without Ray.")
@click.option(
    "--address",
    callback=without_secrets,
    help="Ray cluster to join.  [default: the one running here, else a local one]",
)
@workers
@overrides
@trust
@click.option("--mixed-versions", is_flag=True, help="Resume a run that other versions began.")
@click.option("--retry-failed", is_flag=True, help="Run failed trials again.")
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
    """Run a sweep, or complete a run that was interrupted.

    Also runs the trials that were added to the sweep since the last run. Exit codes: 0 all trials done or
    diverged, 1 some failed or stopped early, 2 bad input, 3 the Ray cluster is gone. From signals: 130
    interrupted or cancelled, 137 the driver was killed, 143 terminated.

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
    output.tolerate_loss()
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
        click.echo(cluster_gone(str(error)), err=True)
        raise SystemExit(CLUSTER_GONE) from None
    terminal.end()
    if not result.finished and result.stopped_by and terminal.signal is None:
        click.echo(_stopped_early(*result.stopped_by))
        raise SystemExit(result.exit_code)
    if not result.finished:
        click.echo(stopped(result.out))
        raise SystemExit(128 + (terminal.signal or signal.SIGINT))
    click.echo()
    finished = Run(result.out)
    frame = summary(finished)
    show.frame(frame.header, frame.rows)
    click.echo(_next_commands(result.out, [table for table in TABLES if finished.files(table)]))
    raise SystemExit(result.exit_code)


def _stopped_early(failure: str, count: int) -> str:
    retry = resume_command() if "--retry-failed" in sys.argv else f"{resume_command()} --retry-failed"
    return (
        "stopped early, as stop_after.identical_failures asks: "
        f"{show.count(count, 'trial')} failed in the same way\n"
        f"  ({failure})\n"
        "All results received are committed. Remove the cause, then resume and retry the failed trials:\n"
        f"  {retry}"
    )


def _next_commands(out: Path | str, tables: list[str]) -> str:
    """Returns the text that says where the tables are and suggests commands to read them.

    Args:
        out: the run directory or its URI.
        tables: names of the tables that have rows.
    """
    folder, query, options = str(out).partition("?")
    names = f"{{{','.join(tables)}}}" if len(tables) > 1 else tables[0]
    table = "steps" if "steps" in tables else tables[0]
    address = json.dumps(f"{folder}/{table}{query}{options}", ensure_ascii=False)  # a literal of Python's
    code = f"import pandas as pd; print(pd.read_parquet({address}))"
    return (
        f"\nThe tables are in {folder}/{names}/*.parquet. Next, for example:\n"
        f"  {show.command('orchestrator', 'analyse', show.path(out))}\n"
        f"  {show.command('python', '-c', code)}"
    )

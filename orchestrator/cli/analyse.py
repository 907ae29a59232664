"""``orchestrator analyse``: tables of a run."""

from __future__ import annotations

import click

from orchestrator.cli import show
from orchestrator.cli.options import run_folder

_MOST_ROWS = 60
_NOT_TIMED = (
    "times of gradients only; not recorded: planning, the start of Ray, statistics, updates and commits"
)


@click.command()
@run_folder
@click.option("--by", metavar="KEY[,KEY…]", help="Swept keys to group by.  [default: all except seed]")
@click.option(
    "--sql",
    help="DuckDB SQL query over trials, steps, gradients and parameters. Keys with dots need double quotes.",
)
@click.option("--overhead", "timed", is_flag=True, help="Compute and wait time per structure.")
@click.option("--all-trials", is_flag=True, help="Include trials that are no longer in the sweep.")
@click.option("--all", "everything", is_flag=True, help=f"Print all rows, not only the first {_MOST_ROWS}.")
def analyse(
    run: str, by: str | None, sql: str | None, timed: bool, all_trials: bool, everything: bool
) -> None:
    """Print loss, gradient norms and clipping per swept key.

    With --overhead: compute and wait time; with --sql: the result of a query. RUN is a run directory, or the
    URI of a run on object storage. The sweep may still be running.

    \b
    Example:
      orchestrator analyse runs/quickstart
      orchestrator analyse runs/quickstart --by case
      orchestrator analyse runs/quickstart --overhead
      orchestrator analyse runs/quickstart --sql 'select "updates.0", max(loss) from steps group by all'
    """
    from orchestrator.reports.overhead import overhead
    from orchestrator.reports.query import others, query
    from orchestrator.reports.summary import summary
    from orchestrator.runs.reader import Run

    if by and (sql or timed):
        raise click.UsageError("--by groups the standard table; leave it out with --sql or --overhead")
    if sql and timed:
        raise click.UsageError("--overhead and --sql print different tables; give one of them")
    opened = Run(run)
    if timed:
        frame = overhead(opened, all_trials)
    elif sql:
        frame = query(opened, sql, all_trials)
    else:
        frame = summary(opened, by.split(",") if by else None, all_trials)
    rows = frame.rows if everything else frame.rows[:_MOST_ROWS]
    show.frame(frame.header, rows)
    if not (frame.rows or sql):
        click.echo("no trial of the sweep has ended yet; --sql reads the steps that are committed")
    if timed:
        click.echo(_NOT_TIMED)
    if len(rows) < len(frame.rows):
        click.echo(f"… and {len(frame.rows) - len(rows):,} more rows (--all shows them)")
    if not all_trials and (left_out := others(opened)):
        click.echo(f"{show.count(left_out, 'trial')} of other sweeps left out (--all-trials includes them)")

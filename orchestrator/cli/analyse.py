"""``orchestrator analyse``: tables from a run."""

from __future__ import annotations

import click

from orchestrator.cli import show
from orchestrator.cli.options import run_folder

_MOST_ROWS = 60


@click.command()
@run_folder
@click.option("--by", metavar="KEY[,KEY…]", help="Swept keys to group by.  [default: all but the seed]")
@click.option("--sql", help="A query over trials, steps, gradients and parameters, in DuckDB's SQL.")
@click.option("--overhead", "timed", is_flag=True, help="Where the time went, by structure.")
@click.option("--all-trials", is_flag=True, help="Also trials that the sweep no longer names.")
@click.option("--all", "everything", is_flag=True, help=f"All rows, not only the first {_MOST_ROWS}.")
def analyse(
    run: str, by: str | None, sql: str | None, timed: bool, all_trials: bool, everything: bool
) -> None:
    """Final loss, gradient norm and clipping by swept key; where the time went; or the answer to a query.

    RUN is a directory, or the URI of a run on an object store. Works while the run goes on, too.

    \b
    Example:
      orchestrator analyse runs/quickstart
      orchestrator analyse runs/quickstart --by case
      orchestrator analyse runs/quickstart --overhead
      orchestrator analyse runs/quickstart --sql "select step, avg(loss) from steps group by all"
    """
    from orchestrator.reports.overhead import overhead
    from orchestrator.reports.query import others, query
    from orchestrator.reports.summary import summary
    from orchestrator.runs.reader import Run

    if by and (sql or timed):
        raise click.UsageError("--by groups the standard table; put the grouping into a query instead")
    if sql and timed:
        raise click.UsageError("--overhead is a table of its own; leave --sql out")
    opened = Run(run)
    if timed:
        frame = overhead(opened, all_trials)
    elif sql:
        frame = query(opened, sql, all_trials)
    else:
        frame = summary(opened, by.split(",") if by else None, all_trials)
    rows = frame.rows if everything else frame.rows[:_MOST_ROWS]
    show.frame(frame.header, rows)
    if len(rows) < len(frame.rows):
        click.echo(f"… and {len(frame.rows) - len(rows):,} more rows (--all shows them)")
    if not all_trials and (left_out := others(opened)):
        click.echo(f"{show.count(left_out, 'trial')} of other sweeps left out (--all-trials takes them in)")

"""The first table anyone wants: loss, gradient norm and clipping by swept key."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.config import near
from orchestrator.reports.query import Frame, QueryError, query, quoted
from orchestrator.traces.read import Run

_SUMMARY = """
with t as (
  select {keys}, min(index) as first, count(*) as trials,
    count(*) filter (status = 'diverged') as diverged, count(*) filter (status = 'failed') as failed,
    avg(final_loss) filter (isfinite(final_loss)) as final_loss, avg(test_accuracy) as test_accuracy
  from trials group by all
), s as (
  select {keys}, median(gradient_norm) as norm_median, max(gradient_norm) as norm_max,
    100.0 * avg((clipped_norm < gradient_norm)::int) as steps_clipped
  from steps group by all
), g as (
  select {keys}, 100.0 * sum(fraction_clipped * parameters) / sum(parameters) as components_clipped
  from gradients where kind = 'parameter' group by all
)
select {shown}, trials, diverged, failed, final_loss, test_accuracy,
  norm_median as "|g| median", norm_max as "|g| max",
  steps_clipped as "% steps clipped", components_clipped as "% components clipped"
from t left join s on {s_matches} left join g on {g_matches}
order by first
"""

_DROPPED_IF_EMPTY = {"diverged", "failed", "test_accuracy"}


def summary(run: Run, by: Sequence[str] | None = None) -> Frame:
    """One row for each combination of the keys ``by``; all swept keys but the seed if left out.

    Columns: trials, how many diverged or failed, mean final loss and test accuracy, median and
    largest gradient norm over steps, share of steps whose norm a clip lowered, share of components
    that clips changed.

    Raises:
        QueryError: a key that was not swept.
    """
    keys = run.keys
    if by is None:
        by = tuple(key for key in keys if key != "seed")
    if unknown := [key for key in by if key not in keys]:
        raise QueryError(f"{unknown[0]!r} is not swept in this run" + near(unknown[0], keys))
    return _without_empty(query(run, _sql(by or ("'all'",), quote=bool(by))))


def _sql(by: Sequence[str], quote: bool) -> str:
    names = [quoted(key) if quote else key for key in by]
    columns = names if quote else ["'all' as k"]
    joined = names if quote else ["k"]
    return _SUMMARY.format(
        keys=", ".join(columns),
        shown=", ".join(f"t.{name}" for name in joined),
        s_matches=" and ".join(f"t.{name} is not distinct from s.{name}" for name in joined),
        g_matches=" and ".join(f"t.{name} is not distinct from g.{name}" for name in joined),
    )


def _without_empty(frame: Frame) -> Frame:
    """Columns that say nothing here are left out."""
    kept = [
        position
        for position, name in enumerate(frame.header)
        if name not in _DROPPED_IF_EMPTY or any(row[position] for row in frame.rows)
    ]
    rows = [tuple(row[position] for position in kept) for row in frame.rows]
    return Frame(tuple(frame.header[position] for position in kept), rows)

"""The standard table of a run: loss, gradient norms and clipping per swept key."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.config.text import suggest
from orchestrator.reports.query import Frame, QueryError, query, quoted
from orchestrator.runs.reader import Run
from orchestrator.tables.rows import KeyColumn

_SUMMARY = """
with t as (
  select {trials}, min(index) as first, count(*) as trials,
    count(*) filter (status = 'diverged') as diverged, count(*) filter (status = 'failed') as failed,
    avg(final_loss) filter (isfinite(final_loss)) as final_loss, avg(test_accuracy) as test_accuracy
  from trials group by all
), s as (
  select {steps}, median(gradient_norm) as norm_median, max(gradient_norm) as norm_max,
    100.0 * avg((clipped_norm < gradient_norm)::int) as steps_clipped
  from steps group by all
), g as (
  select {gradients}, 100.0 * sum(fraction_clipped * parameters) / sum(parameters) as components_clipped
  from gradients where kind = 'parameter' group by all
)
select {keys}, trials, diverged, failed, final_loss, test_accuracy,
  norm_median as "|g| median", norm_max as "|g| max",
  steps_clipped as "% steps clipped", components_clipped as "% components clipped"
from t left join s on {s_matches} left join g on {g_matches}
order by first
"""

_DROPPED_IF_EMPTY = {"diverged", "failed", "test_accuracy"}
_OF_TRAINING, _OF_CLIPS = {"final_loss", "test_accuracy"}, {"% steps clipped", "% components clipped"}
_IS_TRAINED = "json_extract_string(configuration, '$.mode') is distinct from 'probe'"
_HAS_CLIP = "len(json_extract(configuration, '$.updates[*].clip')) > 0"


def summary(run: Run, by: Sequence[str] | None = None, all_trials: bool = False) -> Frame:
    """Returns one row per combination of the keys ``by``.

    Columns: number of trials, of diverged and of failed ones; mean final loss and test accuracy. Then the
    median and the largest gradient norm over steps, the share of steps whose norm a clip lowered, and the
    share of components that clips changed. If all trials are probes, the table has no columns of the loss
    and the accuracy at the end. It then has columns of clips only if a trial has a clip.

    Args:
        by: swept keys; None: all but the seed.
        all_trials: whether to include trials that are no longer in the sweep.

    Raises:
        QueryError: a key was not swept.
    """
    names = [key.name for key in run.keys]
    if by is None:
        by = [name for name in names if name != "seed"]
    if unknown := [name for name in by if name not in names]:
        raise QueryError(f"{unknown[0]!r} is not swept in this run" + suggest(unknown[0], names))
    chosen = [next(key for key in run.keys if key.name == name) for name in by]
    return _without(_meaningless(run, all_trials), query(run, _sql(chosen), all_trials))


def _sql(keys: Sequence[KeyColumn]) -> str:
    aliases = [f"key{position}" for position in range(len(keys))] or ["everything"]

    def selected(table: str) -> str:
        columns = [quoted(key.column(table) or key.name) for key in keys] or ["'all'"]
        return ", ".join(f"{column} as {alias}" for column, alias in zip(columns, aliases, strict=True))

    def matches(table: str) -> str:
        return " and ".join(f"t.{alias} is not distinct from {table}.{alias}" for alias in aliases)

    names = [quoted(key.name) for key in keys] or ["sweep"]
    return _SUMMARY.format(
        trials=selected("trials"),
        steps=selected("steps"),
        gradients=selected("gradients"),
        keys=", ".join(f"t.{alias} as {name}" for alias, name in zip(aliases, names, strict=True)),
        s_matches=matches("s"),
        g_matches=matches("g"),
    )


def _meaningless(run: Run, all_trials: bool) -> set[str]:
    """Returns the columns that mean nothing if all trials are probes; no column if a trial is trained."""

    def found(condition: str) -> bool:
        return bool(query(run, f"select 1 from trials where {condition} limit 1", all_trials).rows)

    if found(_IS_TRAINED):
        return set()
    return _OF_TRAINING if found(_HAS_CLIP) else _OF_TRAINING | _OF_CLIPS


def _without(meaningless: set[str], frame: Frame) -> Frame:
    """Leaves out these columns, and those of ``_DROPPED_IF_EMPTY`` that are empty."""
    kept = [
        position
        for position, name in enumerate(frame.header)
        if name not in meaningless
        and (name not in _DROPPED_IF_EMPTY or any(row[position] for row in frame.rows))
    ]
    rows = [tuple(row[position] for position in kept) for row in frame.rows]
    return Frame(tuple(frame.header[position] for position in kept), rows)

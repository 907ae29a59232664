"""Compute and wait time of a run, per structure."""

from __future__ import annotations

from orchestrator.reports.query import Frame, query
from orchestrator.runs.reader import Run

_OVERHEAD = """
with structure as (
  select *, json_extract_string(configuration, '$.mode') as mode,
    coalesce(json_extract_string(configuration, '$.data.source'), 'none') as data,
    json_extract_string(configuration, '$.model.kind') as model,
    json_extract_string(configuration, '$.gradient.engine') as engine,
    json_merge_patch(configuration, '{"seed": null, "updates": null}') as shared
  from trials
), timed as (
  select mode, model, data, engine, min(index) as first, count(*) as trials, sum(steps) as steps, parameters,
    sum(seconds_compute) as compute, sum(seconds_wait) as wait
  from structure group by mode, model, data, engine, parameters, shared
)
select mode, model, data, engine, parameters, trials, steps,
  compute as "compute s", wait as "wait s", 100 * wait / nullif(compute + wait, 0) as "% wait",
  1e6 * compute / nullif(steps, 0) as "compute µs/step", 1e6 * wait / nullif(steps, 0) as "wait µs/step",
  100 * (compute + wait) / nullif(sum(compute + wait) over (), 0) as "% of all"
from timed order by first
"""


def overhead(run: Run, all_trials: bool = False) -> Frame:
    """Returns one row per structure, in the order of the plan.

    ``compute`` is the time in which workers computed gradients, summed over the workers. ``wait`` is the rest
    of the time of these calls, in which shards travelled to other workers and back. Neither includes
    statistics, clips, optimisers, and tests of trained parameters.

    Args:
        all_trials: whether to include trials that are no longer in the sweep.
    """
    return query(run, _OVERHEAD, all_trials)

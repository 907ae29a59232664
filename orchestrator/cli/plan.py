"""``orchestrator plan``: what would run."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.addresses import is_uri
from orchestrator.cli import show
from orchestrator.cli.options import overrides, sweep_file, trust, without_secrets
from orchestrator.cli.plan_notes import distinguishing_keys, sharing_lines, warn
from orchestrator.errors import InputError, RunDirectoryError
from orchestrator.process import track

if TYPE_CHECKING:
    from orchestrator.driver.estimate import Estimate
    from orchestrator.sweep.file import Sweep

_MOST_STRUCTURES = 12


@click.command()
@sweep_file
@overrides
@trust
@click.option(
    "--out",
    type=click.Path(),
    callback=without_secrets,
    help="Run whose trials are counted.  [default: runs/<name>]",
)
@click.option("--trials", type=click.IntRange(0, 1_000_000), default=5, help="Trials to list.  [default: 5]")
@click.option("--parameters", is_flag=True, help="List each parameter: component, name, group, dead or live.")
@click.option(
    "--workers", type=click.IntRange(1, 100_000), help="Workers to plan for.  [default: CPUs of this machine]"
)
def plan(
    sweep: Path,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    out: str | None,
    trials: int,
    parameters: bool,
    workers: int | None,
) -> None:
    """Check a sweep file and print what it would run.

    Starts nothing and writes nothing. If the run exists, says how many of the trials it holds. A sweep with
    `python:` calls your own code, which is executed here with your permissions.

    \b
    Example:
      orchestrator plan jobs/quickstart.yaml
    """
    started = time.monotonic()
    from orchestrator.driver.estimate import estimate
    from orchestrator.driver.packs import default_workers
    from orchestrator.sweep.file import load

    planned = load(sweep, overrides, trust=trust)
    workers = workers or default_workers()
    structures = planned.plan.structures
    counted = track(structures, len(structures), "estimating the cost of the structures")
    estimates = [estimate(planned, structure, workers) for structure in counted]
    _print_structures(planned, estimates)
    _print_data(planned)
    _print_calls(planned)
    _print_totals(planned, estimates)
    if parameters:
        _print_parameters(planned)
    _print_trials(planned, trials)
    click.echo()
    warn(planned.plan, err=False)
    _print_run(planned, out or f"runs/{planned.name}")
    click.echo(_time(planned, estimates, workers, started))


def _print_structures(sweep: Sweep, estimates: Sequence[Estimate]) -> None:
    count = sweep.plan.count
    click.echo(f"{sweep.name}: {show.count(count, 'trial')} in {show.count(len(estimates), 'structure')}\n")
    summaries = [_summary(estimate) for estimate in estimates]
    keys = distinguishing_keys(sweep.plan, summaries)
    header = (
        "model",
        "data",
        "loss",
        "updates",
        "mode",
        *keys,
        "trials",
        "packs",
        "parameters",
        "dead",
        "shard memory",
    )
    values_by_row = zip(*keys.values(), strict=True) if keys else [()] * len(summaries)
    cells = zip(summaries, values_by_row, estimates, strict=True)
    rows = [(*summary, *values, *_counts(estimate)) for summary, values, estimate in cells]
    show.table(header, rows[:_MOST_STRUCTURES])
    if len(estimates) > _MOST_STRUCTURES:
        click.echo(f"… and {len(estimates) - _MOST_STRUCTURES} more")


def _print_data(sweep: Sweep) -> None:
    """Prints how the user's data files are read, for the structures in the table."""
    from orchestrator.trial.pinned import load_problem

    listed = sweep.plan.structures[:_MOST_STRUCTURES]
    lines = dict.fromkeys(load_problem(structure.pinned).data.description for structure in listed)
    for line in filter(None, lines):
        click.echo(f"\ndata: {line}")


def _print_calls(sweep: Sweep) -> None:
    """Prints the user's own functions that the sweep calls."""
    combinations = (
        combination for structure in sweep.plan.structures for combination in structure.combinations
    )
    models = dict.fromkeys(combination.template.model for combination in combinations)
    calls = dict.fromkeys(call for model in models for call in model.calls())
    for number, (name, file) in enumerate(calls):
        click.echo(("" if number else "\n") + f"code: calls {name} of {file}")


def _summary(estimate: Estimate) -> tuple[str, ...]:
    """Returns model, data, loss, updates and mode of a structure."""
    template = estimate.structure.template
    updates = [
        str(getattr(update, "clip", None) or getattr(update, "optimizer", "")) for update in template.updates
    ]
    return (
        template.model.summary,
        getattr(template.data, "source", "–"),
        template.loss,
        " → ".join(updates) or "–",
        template.mode,
    )


def _counts(estimate: Estimate) -> tuple[str, ...]:
    """Returns trials, packs, parameters, dead parameters and memory of a shard, as texts."""
    from orchestrator.trial.problem import format_bytes

    return (
        f"{estimate.structure.count:,}",
        f"{estimate.packs:,} × {estimate.pack_size}",
        f"{estimate.parameters:,}",
        f"{estimate.parameters_dead:,}",
        format_bytes(estimate.shard_bytes),
    )


def _print_totals(sweep: Sweep, estimates: Sequence[Estimate]) -> None:
    from orchestrator.trial.problem import format_bytes

    click.echo()
    show.table(
        ("total", ""),
        [
            ("trials", f"{sweep.plan.count:,}"),
            ("packs", f"{sum(estimate.packs for estimate in estimates):,}"),
            ("gradient evaluations", f"{sum(estimate.evaluations for estimate in estimates):,}"),
            ("largest shard memory", format_bytes(max(estimate.shard_bytes for estimate in estimates))),
            (
                "size of the traces",
                "about " + format_bytes(sum(estimate.trace_bytes for estimate in estimates)),
            ),
        ],
    )


def _print_parameters(sweep: Sweep) -> None:
    """Prints the parameters of each model; dead ones lie outside the light cone of every observable."""
    from orchestrator.trial.pinned import load_problem

    by_model = {
        (structure.template.model, structure.template.data): structure.pinned
        for structure in sweep.plan.structures
    }
    for pinned in by_model.values():
        model = load_problem(pinned).model
        groups = [group.name for group in model.groups for _ in range(group.start, group.stop)]
        states = ["dead" if dead else "live" for dead in model.dead]
        click.echo(f"\n{pinned.template.model.summary}\n")
        rows = zip(map(str, range(model.parameters)), model.names, groups, states, strict=True)
        show.table(("component", "name", "group", ""), rows)


def _time(sweep: Sweep, estimates: Sequence[Estimate], workers: int, started: float) -> str:
    """Returns lines on the time of the sweep, and on the workers that a step can use.

    The time is estimated from gradients that are timed in this process. If they need a GPU that this machine
    lacks, the text says so.
    """
    from orchestrator.api.placing import check_here, on_gpus
    from orchestrator.driver.duration import duration

    try:
        check_here(sweep.plan)
    except InputError as error:
        return f"takes a GPU for each worker; neither checked nor timed on this machine: {error}"
    estimated = duration(estimates, workers, sweep.placement, time.monotonic() - started)
    gpus = ", a GPU for each" if on_gpus(sweep.plan) else ""
    where = f"{show.count(workers, 'worker')} with this machine's type of CPU{gpus}"
    start = f"{show.duration(estimated.start).removeprefix('about ')} of it to start a local Ray"
    inline = f"{show.duration(estimated.inline)} with --inline"
    packs, worth_s = sum(estimate.packs for estimate in estimates), sweep.placement.shard_seconds
    total = f"takes {show.duration(estimated.on_ray)} on {where}, {start}; {inline}"
    return "\n".join([*sharing_lines(estimated.sharing, packs, workers, worth_s), total])


def _print_trials(sweep: Sweep, most: int) -> None:
    if not most:
        return
    listed = list(itertools.islice(sweep.plan.trials(), most))
    click.echo()
    keys = [["–" if key is None else str(key) for key in trial.keys] for trial in listed]
    rows = [(trial.id, *row) for trial, row in zip(listed, keys, strict=True)]
    show.table(("trial", *sweep.plan.keys), rows)
    if sweep.plan.count > most:
        click.echo(f"… and {sweep.plan.count - most:,} more")


def _print_run(sweep: Sweep, out: str) -> None:
    """Prints how many trials of the sweep a run holds, or why it cannot be read; nothing without a run."""
    from orchestrator.api.running import check_run
    from orchestrator.driver.counts import count
    from orchestrator.driver.packs import Done
    from orchestrator.runs.reader import Run

    if not is_uri(out) and not os.path.exists(out):  # noqa: PTH110 - pathlib raises for names that are too long
        return
    try:
        counts, _ = count(sweep.plan, Done(Run(out).ended(), {}))
        check_run(sweep, out)
    except RunDirectoryError as error:
        click.echo(str(error))
        return
    others = f", and {counts.abandoned:,} of other sweeps" if counts.abandoned else ""
    click.echo(f"{out} holds {counts.kept:,} of {show.count(sweep.plan.count, 'trial')}{others}")

"""``orchestrator plan``: what would run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import show
from orchestrator.cli.options import overrides, sweep_file, trust, without_secrets
from orchestrator.cli.plan_notes import distinguishing_keys, warn
from orchestrator.cli.plan_rest import held, takes

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
    from orchestrator.driver.estimate import estimates
    from orchestrator.driver.packs import default_workers
    from orchestrator.sweep.file import load

    planned = load(sweep, overrides, trust=trust)
    workers = workers or default_workers()
    everything = list(estimates(planned, workers))
    _print_structures(planned, everything)
    _print_data(planned)
    _print_calls(planned)
    _print_totals(planned, everything)
    if parameters:
        _print_parameters(planned)
    _print_trials(planned, trials)
    click.echo()
    warn(planned.plan, err=False)
    text, left = held(planned, out or f"runs/{planned.name}")
    if text:
        click.echo(text)
    click.echo(takes(planned, left, workers, started))


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
        f"{estimate.trials:,}",
        _packs(estimate.trials, estimate.pack_size),
        f"{estimate.parameters:,}",
        f"{estimate.parameters_dead:,}",
        format_bytes(estimate.shard_bytes),
    )


def _packs(trials: int, size: int) -> str:
    """Returns the packs as text; the numbers add up to the number of trials.

    Example:
        >>> _packs(20, 15), _packs(30, 15), _packs(5, 15)
        ('1 × 15, 1 × 5', '2 × 15', '1 × 5')
    """
    full, rest = divmod(trials, size)
    return ", ".join([f"{full:,} × {size}"] * (full > 0) + [f"1 × {rest}"] * (rest > 0))


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

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
from orchestrator.cli.plans import sharing, telling, warn
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
    help="The run to compare with.  [default: runs/<name>]",
)
@click.option(
    "--trials", type=click.IntRange(0, 1_000_000), default=5, help="How many trials to list.  [default: 5]"
)
@click.option(
    "--parameters", is_flag=True, help="List the parameters: component, name, group, whether it is dead."
)
@click.option("--workers", type=click.IntRange(1, 100_000), help="Workers to plan for.  [default: CPUs here]")
def plan(
    sweep: Path,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    out: str | None,
    trials: int,
    parameters: bool,
    workers: int | None,
) -> None:
    """Check a sweep file; say what it would run, and what is there already. Starts nothing, writes nothing.

    A sweep with `python:` is code, which is executed to see what it makes; it runs with your rights.

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
    every = track(structures, len(structures), "counting what every structure costs")
    estimates = [estimate(planned, structure, workers) for structure in every]
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
    kinds = [_kind(one) for one in estimates]
    keys = telling(sweep.plan, kinds)
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
    cells = zip(
        kinds, zip(*keys.values(), strict=True) if keys else [()] * len(kinds), estimates, strict=True
    )
    rows = [(*kind, *values, *_counts(one)) for kind, values, one in cells]
    show.table(header, rows[:_MOST_STRUCTURES])
    if len(estimates) > _MOST_STRUCTURES:
        click.echo(f"… and {len(estimates) - _MOST_STRUCTURES} more")


def _print_data(sweep: Sweep) -> None:
    """What is read as what from files of the user's own, for the structures that are shown."""
    from orchestrator.trial.pinned import load_problem

    pinned = (one.pinned for one in sweep.plan.structures[:_MOST_STRUCTURES])
    lines = dict.fromkeys(load_problem(one).data.description for one in pinned)
    for line in filter(None, lines):
        click.echo(f"\ndata: {line}")


def _print_calls(sweep: Sweep) -> None:
    """The functions of the user's own that the sweep calls."""
    combinations = (one for structure in sweep.plan.structures for one in structure.combinations)
    models = dict.fromkeys(combination.template.model for combination in combinations)
    calls = dict.fromkeys(call for model in models for call in model.calls())
    for number, (name, file) in enumerate(calls):
        click.echo(("" if number else "\n") + f"code: calls {name} of {file}")


def _kind(one: Estimate) -> tuple[str, ...]:
    """What a structure computes, in a few words."""
    template = one.structure.template
    updates = [str(getattr(u, "clip", None) or getattr(u, "optimizer", "")) for u in template.updates]
    return (
        template.model.summary,
        getattr(template.data, "source", "–"),
        template.loss,
        " → ".join(updates) or "–",
        template.mode,
    )


def _counts(one: Estimate) -> tuple[str, ...]:
    """How much of it there is."""
    from orchestrator.trial.problem import format_bytes

    return (
        f"{one.structure.count:,}",
        f"{one.packs:,} × {one.pack_size}",
        f"{one.parameters:,}",
        f"{one.parameters_dead:,}",
        format_bytes(one.shard_bytes),
    )


def _print_totals(sweep: Sweep, estimates: Sequence[Estimate]) -> None:
    from orchestrator.trial.problem import format_bytes

    click.echo()
    show.table(
        ("total", ""),
        [
            ("trials", f"{sweep.plan.count:,}"),
            ("packs", f"{sum(one.packs for one in estimates):,}"),
            ("gradient evaluations", f"{sum(one.evaluations for one in estimates):,}"),
            ("largest shard memory", format_bytes(max(one.shard_bytes for one in estimates))),
            ("size of the traces", "about " + format_bytes(sum(one.trace_bytes for one in estimates))),
        ],
    )


def _print_parameters(sweep: Sweep) -> None:
    """Once for each model: dead are those that no observable can see, whatever the angles."""
    from orchestrator.trial.pinned import load_problem

    pinned = {(one.template.model, one.template.data): one.pinned for one in sweep.plan.structures}
    for one in pinned.values():
        model = load_problem(one).model
        groups = [group.name for group in model.groups for _ in range(group.start, group.stop)]
        states = ["dead" if dead else "live" for dead in model.dead]
        click.echo(f"\n{one.template.model.summary}\n")
        rows = zip(map(str, range(model.parameters)), model.names, groups, states, strict=True)
        show.table(("component", "name", "group", ""), rows)


def _time(sweep: Sweep, estimates: Sequence[Estimate], workers: int, started: float) -> str:
    """How many workers a step can use, and how long all takes, as measured; or why that is not known here."""
    from orchestrator.api.placing import check_here, on_gpus
    from orchestrator.driver.duration import duration

    try:
        check_here(sweep.plan)
    except InputError as error:
        return f"takes a GPU for each worker; not checked, and not timed, since on this machine {error}"
    found = duration(estimates, workers, sweep.placement, time.monotonic() - started)
    needs = ", a GPU for each" if on_gpus(sweep.plan) else ""
    where = f"{show.count(workers, 'worker')} like this machine's{needs}"
    start = f"{show.duration(found.start).removeprefix('about ')} of them until a local Ray is up"
    inline = f"{show.duration(found.inline)} with --inline"
    packs, worth_s = sum(one.packs for one in estimates), sweep.placement.shard_seconds
    takes = f"takes {show.duration(found.on_ray)} on {where}, {start}; {inline}"
    return "\n".join([*sharing(found.sharing, packs, workers, worth_s), takes])


def _print_trials(sweep: Sweep, most: int) -> None:
    if not most:
        return
    shown = list(itertools.islice(sweep.plan.trials(), most))
    click.echo()
    keys = [["–" if key is None else str(key) for key in trial.keys] for trial in shown]
    rows = [(trial.id, *row) for trial, row in zip(shown, keys, strict=True)]
    show.table(("trial", *sweep.plan.keys), rows)
    if sweep.plan.count > most:
        click.echo(f"… and {sweep.plan.count - most:,} more")


def _print_run(sweep: Sweep, out: str) -> None:
    """How many trials a run holds already; nothing where there is no run yet, or why it cannot be read."""
    from orchestrator.api.running import check_run
    from orchestrator.driver.counts import count
    from orchestrator.driver.packs import Done
    from orchestrator.runs.reader import Run

    if not is_uri(out) and not os.path.exists(out):  # noqa: PTH110 - pathlib raises for names that are too long
        return
    try:
        found, _ = count(sweep.plan, Done(Run(out).ended(), {}))
        check_run(sweep, out)
    except RunDirectoryError as error:
        click.echo(str(error))
        return
    others = f", {show.count(found.abandoned, 'other')}" if found.abandoned else ""
    click.echo(f"{out}: {found.kept:,} of {show.count(sweep.plan.count, 'trial')} are there{others}")

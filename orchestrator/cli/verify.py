"""``orchestrator verify``: runs committed trials again and compares their bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator.cli import show
from orchestrator.cli.options import run_folder, trust
from orchestrator.errors import InputError

if TYPE_CHECKING:
    from orchestrator.driver.verify import Verification

_PROMISE = (
    "Equal bits are promised on one type of CPU and for equal versions; a run does not say which CPUs "
    "computed it."
)


@click.command()
@run_folder
@click.option("-k", "count", type=click.IntRange(1), default=20, show_default=True, help="Number of trials.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed that selects the trials."
)
@click.option("--files", is_flag=True, help="Check the hash of every file instead; runs no trial.")
@click.option(
    "--sweep",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sweep file: allows the code in its folder.",
)
@trust
def verify(run: str, count: int, seed: int, files: bool, sweep: Path | None, trust: tuple[str, ...]) -> None:
    """Run trials of a run again and compare them bit by bit.

    Runs in this process, without Ray, and writes nothing; the sweep may still be running. Compares all
    deterministic columns (docs/columns.md) of trials with status done or diverged. Trials that are not
    repeatable, as a remote service computes them, are left out. If trials call your own functions
    (`python:`), give --sweep or --trust: code is never called only because a run names it. With --files,
    compares the SHA-256 of every file that the run lists instead.

    Exit codes: 0 all equal, 1 some differ, 2 bad input.

    \b
    Example:
      orchestrator verify runs/quickstart -k 5
      orchestrator verify runs/quickstart --files
      orchestrator verify runs/own --sweep own.yaml
    """
    if files:
        _verify_files(run)
    from orchestrator import user_code
    from orchestrator.backends.batched.threads import use_threads
    from orchestrator.driver.verify import cpu, verify
    from orchestrator.fleet.inline import InlineTeam
    from orchestrator.runs.reader import Run
    from orchestrator.versions import versions

    if sweep is not None and not sweep.is_file():
        raise InputError.at("--sweep", f"is {sweep}, must be an existing file")
    folders = () if sweep is None else (sweep.resolve().parent,)
    user_code.allow(user_code.Trust.of(trust, *folders))
    use_threads(1)
    result = verify(Run(run), InlineTeam(), count, seed, versions())
    click.echo(_text(result, cpu()))
    raise SystemExit(1 if result.differences else 0)


def _verify_files(path: str) -> NoReturn:
    from orchestrator.runs.reader import Run

    checked = Run(path).check_files()
    click.echo(
        f"{show.count(checked.files, 'file')}, {checked.size_bytes / 1e6:,.1f} MB of rows: hashes compared"
    )
    for line in checked.differing or ("every file matches its hash",):
        click.echo(line)
    raise SystemExit(1 if checked.differing else 0)


def _text(result: Verification, cpu: str) -> str:
    checked = f"{result.trials:,} of {show.count(result.ended, 'trial')} run again on {cpu}"
    lines = [f"{checked}: {show.count(result.rows, 'row')} compared"]
    if result.left_out:
        lines.append(f"{show.count(result.left_out, 'trial')} left out, as they are not repeatable")
    if result.versions:
        lines += [f"versions differ: {', '.join(result.versions)}", _PROMISE]
    if not result.differences:
        return "\n".join([*lines, "every deterministic column has the same bits"])
    lines += [f"trials that differ: {len(result.differences):,}; the first difference:"]
    lines.append(f"  {result.differences[0]}")
    return "\n".join(lines if result.versions else [*lines, _PROMISE])

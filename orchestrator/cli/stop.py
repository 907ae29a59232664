"""``orchestrator stop``: ends single trials of a running sweep."""

from __future__ import annotations

import re

import click

from orchestrator.cli.options import run_folder
from orchestrator.errors import Fault, InputError, RunDirectoryError


@click.command()
@run_folder
@click.argument("trials", nargs=-1, required=True, metavar="TRIAL…")
def stop(run: str, trials: tuple[str, ...]) -> None:
    """End single trials of a running sweep; the others continue.

    TRIAL is an id from the column `trial`. The trial keeps its rows, gets the status `cancelled`, and is not
    run again.

    \b
    Example:
      orchestrator stop runs/quickstart 0123456789abcdef
    """
    from orchestrator.runs.control import Control
    from orchestrator.runs.reader import Run
    from orchestrator.runs.storage.opening import storage

    faults = [
        Fault("TRIAL", f"is {trial!r}, must be an id of 16 hexadecimal digits")
        for trial in trials
        if not re.fullmatch("[0-9a-f]{16}", trial)
    ]
    if faults:
        raise InputError(faults)
    ended = set(Run(run).read("trials", ["trial"])["trial"].to_pylist())
    folder = storage(run)
    if folder.owner() is None:
        raise RunDirectoryError(f"{run}: no driver is running here, there is no trial to stop")
    for trial in ended.intersection(trials):
        click.echo(f"{trial} has already ended")
    Control(folder).stop(asked := [trial for trial in trials if trial not in ended])
    if asked:
        click.echo(f"asked the driver to end {', '.join(asked)}")

"""Arguments that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

sweep_file: Decorator = click.argument("sweep", type=click.Path(path_type=Path), metavar="SWEEP")
run_folder: Decorator = click.argument("run", type=click.Path(), metavar="RUN")  # or a URI
overrides: Decorator = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change the sweep file for this once, e.g. base.steps=10. May be repeated.",
)

"""Numbers, tables, times and commands as text on a terminal."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.errors import printable

__all__ = ["command", "count", "duration", "frame", "number", "path", "progress_bar", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], wrap_last: bool = False) -> None:
    """Prints a table; columns of numbers are right-aligned.

    Args:
        wrap_last: whether to wrap the last column to the width of a terminal. All other cells are cut off
            there. If standard output is no terminal, lines stay whole.
    """
    rows = [list(row) for row in rows]
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for position, name in enumerate(header):
        cells = [row[position] for row in rows]
        wraps = wrap_last and position == len(header) - 1
        drawn.add_column(printable(name), justify="right" if _numeric(cells) else "left", no_wrap=not wraps)
    for row in rows:
        drawn.add_row(*map(printable, row))
    console = _console()
    if not console.is_terminal or console.width < 20:
        console = _console(width=400)
    console.print(drawn)


def _console(width: int | None = None) -> Console:
    """Returns a console that prints text literally: labels and paths may hold brackets and colons."""
    return Console(highlight=False, markup=False, emoji=False, width=width)


def _numeric(cells: Iterable[str]) -> bool:
    return all(cell[:1] in "0123456789-–." or cell.startswith("about") for cell in cells if cell)


def number(value: Any) -> str:
    """Formats a value: floats with four significant digits, None and NaN as ``–``.

    Example:
        >>> number(12345.6), number(0.25), number(None)
        ('1.235e+04', '0.25', '–')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def command(*words: str) -> str:
    """Returns a command line that a shell splits into these words.

    Example:
        >>> command("orchestrator", "analyse", "my runs/$1")
        "orchestrator analyse 'my runs/$1'"
    """
    return shlex.join(words)


def path(location: str | PathLike[str]) -> str:
    """Returns a path as an argument that cannot be mistaken for an option.

    Example:
        >>> path("-x"), path("runs/x")
        ('./-x', 'runs/x')
    """
    text = fspath(location)
    return f"./{text}" if text.startswith("-") else text


def count(amount: int, thing: str) -> str:
    """Formats a number of things.

    Example:
        >>> count(1, "trial"), count(1000, "trial")
        ('1 trial', '1,000 trials')
    """
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def duration(seconds: float) -> str:
    """Formats a time, rounded.

    Example:
        >>> duration(0.2), duration(75), duration(600), duration(9000), duration(216000)
        ('under a second', 'about 75 s', 'about 10 min', 'about 2 h 30 min', 'about 2.5 days')
    """
    if seconds < 1:
        return "under a second"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    if seconds < 7200:
        return f"about {seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"about {seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
    return f"about {seconds / 86400:.1f} days"


def progress_bar() -> Any:
    """Returns a progress bar with the caller's description and the time left."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TextColumn("ETA"), TimeRemainingColumn())
    return Progress(*columns)


def frame(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table of values, each formatted by ``number``."""
    table(header, [[number(value) for value in row] for row in rows])

"""When workers were at work: ``advance`` with a line for each call in a file of its process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from orchestrator.driver import driver
from orchestrator.training.advance import Limits, advance
from orchestrator.training.pack import Pack
from orchestrator.training.walk import Chunk, Team


def timed(folder: str, team: Team, pack: Pack, limits: Limits) -> Chunk:
    """``advance``, which writes down when it began and ended."""
    begun = time.time()
    chunk = advance(team, pack, limits)
    with Path(folder, str(os.getpid())).open("a") as log:
        log.write(f"{begun} {time.time()}\n")
    return chunk


@contextmanager
def calls(folder: Path) -> Iterator[None]:
    """The driver's calls are written down in ``folder``."""
    folder.mkdir()
    driver.advance = partial(timed, str(folder))  # type: ignore[assignment]
    try:
        yield
    finally:
        driver.advance = advance


def intervals(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Begin and end of each call, in seconds since 1970, by process."""
    return {
        log.name: [(float(a), float(b)) for a, b in map(str.split, log.read_text().splitlines())]
        for log in folder.iterdir()
    }

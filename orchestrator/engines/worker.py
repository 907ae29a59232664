"""How a worker is made ready for the engines that it will run."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.engines.base import Engine
from orchestrator.engines.threads import use_threads_only


def prepare(threads: int, engines: Iterable[Engine]) -> None:
    """Sets the number of threads, and refuses what this process cannot run.

    Args:
        threads: of the compiled kernels.
        engines: those that need more than a CPU.

    Raises:
        InputError: one of them lacks something here.
    """
    use_threads_only(threads)
    for engine in engines:
        engine.check()

"""One program in a process of its own, which computes only when asked to.

Programs with thread pools of their own disturb each other inside of one process; here all but one wait
on a pipe.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

from benchmarks.work import Array, Shape, Work

WARMING = 2
PAUSE_S = 0.3
"""Longer than OpenMP runtimes let idle threads spin (0.2 s)."""

_SPAWN = multiprocessing.get_context("spawn")


class LeftOutError(Exception):
    """A program could not be run; its text is the reason."""


@dataclass(frozen=True)
class First:
    """What the first call of a program tells.

    Attributes:
        seconds: from the request for a gradient function to its first result, the peer's module imported.
        gradient: [trials, layers, 2, qubits]
        versions: of the packages that it names, by name.
    """

    seconds: float
    gradient: Array
    versions: dict[str, str]


class Program:
    """A peer at work on one shape; close it after use.

    ``peer`` is a module of ``benchmarks.peers``, and behind it the options that its ``build`` takes.
    """

    def __init__(self, peer: str, shape: Shape, threads: int) -> None:
        self.peer = peer
        self._pipe, child = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(peer, shape, threads, child), daemon=True)
        self._process.start()
        child.close()

    def first(self, limit_s: float) -> First:
        """The first call, compilation included.

        Raises:
            LeftOutError: it took longer than ``limit_s``, or failed.
        """
        return cast(First, self._answer(limit_s))

    def seconds(self, calls: int, limit_s: float) -> list[float]:
        """Times of some calls, one after another, behind two that are not timed.

        Before them is a pause: threads of the program that computed last may still be spinning.

        Raises:
            LeftOutError: they took longer than ``limit_s``, or failed.
        """
        time.sleep(PAUSE_S)
        self._pipe.send(calls)
        return list(self._answer(limit_s))

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.join()

    def _answer(self, limit_s: float) -> Any:
        if not self._pipe.poll(limit_s):
            raise LeftOutError(f"over {limit_s:g} s")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise LeftOutError("its process ended") from None
        if isinstance(answer, str):
            raise LeftOutError(answer)
        return answer


def _serve(peer: str, shape: Shape, threads: int, pipe: Any) -> None:
    try:
        name, *options = peer.split()
        module, work = importlib.import_module(f"benchmarks.peers.{name}"), Work.random(shape)
        start = time.perf_counter()
        gradient = module.build(work, threads, *options)
        result = gradient(work.parameters)
        seconds = time.perf_counter() - start
        versions = {name: version(name) for name in module.PACKAGES}
        pipe.send(First(seconds, result, versions))
        while True:
            pipe.send(_time(gradient, work.parameters, pipe.recv()))
    except (EOFError, BrokenPipeError):  # nobody asks any more
        return
    except Exception as error:  # whatever a peer raises is its entry in the table
        pipe.send(f"{type(error).__name__}: {error}")


def _time(gradient: Any, parameters: Array, calls: int) -> list[float]:
    seconds = []
    for _ in range(WARMING):
        gradient(parameters)
    for _ in range(calls):
        start = time.perf_counter()
        gradient(parameters)
        seconds.append(time.perf_counter() - start)
    return seconds

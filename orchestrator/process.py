"""Memory, threads and limits of this process, and notices about slow work."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_NOTICE_AFTER_S = 5.0
"""Work that takes longer gives notice."""

_listeners: list[Callable[[str], None]] = []


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Calls the listener with each notice, one line, inside ``with listening(print):``."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def notice(text: str) -> None:
    """Sends a line to all listeners; without one, the line is dropped."""
    for listener in _listeners:
        listener(text)


@contextmanager
def notice_if_slow(what: str) -> Iterator[None]:
    """Gives notice once if the ``with`` block takes more than a few seconds; does not interrupt it.

    Args:
        what: names the work: ``reading the circuit``.
    """
    timer = threading.Timer(_NOTICE_AFTER_S, notice, [f"{what}: takes more than {_NOTICE_AFTER_S:.0f} s …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def track(items: Iterable[T], count: int, what: str) -> Iterator[T]:
    """Yields the items; after a few seconds, gives notice once of how long all of them will take.

    Args:
        count: number of items.
        what: names the work: ``checking 9,000 structures``.
    """
    started, noticed = time.monotonic(), False
    for done, item in enumerate(items):
        spent = time.monotonic() - started
        if not noticed and done and spent > _NOTICE_AFTER_S:
            left = spent / done * (count - done)
            notice(f"{what}: {done:,} of {count:,} after {spent:.0f} s, about {left:.0f} s more")
            noticed = True
        yield item


def one_blas_thread() -> AbstractContextManager[Any]:
    """Limits matrix products and factorisations inside ``with one_blas_thread():`` to one thread.

    OpenBLAS splits large sums differently for 1 and 2 threads, so without this limit, results would depend
    on the machine. The limit holds for the whole process until the block ends. Entering it costs about 10 µs.
    """
    return _blas().limit(limits=1)


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def memory_bytes() -> int:
    """Returns the physical memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@cache
def keep_freed_memory() -> None:
    """Makes glibc keep freed arrays for the next call instead of returning them to the kernel.

    Its thresholds rise to the largest block that was ever freed, up to 32 MiB. The gradient of a pack
    allocates and frees a few MB in every step; page faults would triple its cost.
    """
    np.empty(31 * 2**20, np.uint8)


def address_space() -> int | None:
    """Returns the limit of this process's address space (``ulimit -v``) in bytes; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def resource_error(error: Exception) -> str | None:
    """Returns a one-line message for an error by which the system refuses a resource; None for other errors.

    Where the address space is limited, libraries fail in different ways: they do not load, cannot start
    a thread, or run out of memory.
    """
    text = (str(error).splitlines() or [""])[0]
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    limit = address_space()
    out_of_memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    if limit is not None and (out_of_memory or isinstance(error, (OSError, ImportError, RuntimeError))):
        gib = f"{limit / 2**30:.1f} GiB"
        return f"the address space of a process is limited to {gib} (ulimit -v), lift that limit: {named}"
    if out_of_memory:
        return f"there is not enough memory: {named}"
    return named if isinstance(error, OSError) else None

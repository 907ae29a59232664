"""What computation relies on in the process that it runs in, and how that says what takes long."""

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
_listeners: list[Callable[[str], None]] = []


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Inside ``with listening(print):`` the listener is told what takes long, a line each; else nobody is."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def notice(text: str) -> None:
    """Tells whoever listens."""
    for listener in _listeners:
        listener(text)


@contextmanager
def notice_if_slow(what: str) -> Iterator[None]:
    """Gives notice once if what is inside ``with`` takes more than a few seconds. It is not interrupted."""
    timer = threading.Timer(_NOTICE_AFTER_S, notice, [f"{what}: takes more than {_NOTICE_AFTER_S:.0f} s …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def track(items: Iterable[T], count: int, what: str) -> Iterator[T]:
    """The items; gives notice once, after some seconds, of how long it takes to go through all of them.

    Args:
        count: how many items there are.
        what: what is done to them: ``checking 9,000 structures``.
    """
    started, waits = time.monotonic(), True
    for done, item in enumerate(items):
        spent = time.monotonic() - started
        if waits and done and spent > _NOTICE_AFTER_S:
            left = spent / done * (count - done)
            notice(f"{what}: {done:,} of {count:,} after {spent:.0f} s, about {left:.0f} s more")
            waits = False
        yield item


def one_blas_thread() -> AbstractContextManager[Any]:
    """Inside ``with one_blas_thread():`` matrix products and factorisations run on one thread.

    OpenBLAS cuts large sums differently for 1 and 2 threads, so without this a result would depend
    on the machine. The limit holds for the whole process and is lifted at the end; entering costs
    about 10 µs.
    """
    return _blas().limit(limits=1)


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@cache
def keep_freed_memory() -> None:
    """Makes glibc keep freed arrays for the next call instead of handing them back to the kernel.

    Its thresholds rise to the largest block that was ever freed (32 MiB count at most). A pack's
    gradient allocates and frees a few MB in every step; page faults would triple its cost.
    """
    np.empty(31 * 2**20, np.uint8)


def address_space() -> int | None:
    """Bytes of address space that this process may have (``ulimit -v``); None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def resource_error(error: Exception) -> str | None:
    """What to say, in one line, of an error that says that the system gives no more; None of any other.

    Where the address space is limited, libraries fail in their own ways: they do not load, start no thread,
    or run out of memory.
    """
    text = (str(error).splitlines() or [""])[0]
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    limit = address_space()
    short = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    if limit is not None and (short or isinstance(error, (OSError, ImportError, RuntimeError))):
        gib = f"{limit / 2**30:.1f} GiB"
        return f"the address space of a process is limited to {gib} (ulimit -v), lift that limit: {named}"
    if short:
        return f"there is not enough memory: {named}"
    return named if isinstance(error, OSError) else None

"""What computation relies on in the process that it runs in."""

from __future__ import annotations

import os
import resource
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np


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


def refused(error: Exception) -> str | None:
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

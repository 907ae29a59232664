"""What computation relies on in the process that it runs in."""

from __future__ import annotations

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


@cache
def keep_freed_memory() -> None:
    """Makes glibc keep freed arrays for the next call instead of handing them back to the kernel.

    Its thresholds rise to the largest block that was ever freed (32 MiB count at most). A pack's
    gradient allocates and frees a few MB in every step; page faults would triple its cost.
    """
    np.empty(31 * 2**20, np.uint8)

"""How many threads the compiled kernels of this process use."""

from __future__ import annotations

import os
import sys


def use_threads(count: int) -> None:
    """Lets kernels use ``count`` threads, or as many as there are CPUs if that is fewer."""
    import numba  # it ignores OMP_NUM_THREADS, and its own limit is read only once

    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def threads_for(pieces: int) -> int:
    """How many threads kernels use for so many pieces of work."""
    import numba

    return max(1, min(numba.get_num_threads(), pieces))


def use_threads_only(count: int) -> None:
    """``use_threads`` for a worker: a process that starts with it never needs more.

    Otherwise every worker of a large machine would keep as many idle threads as there are CPUs. Numba
    is not loaded for it: networks do without, and it takes half a second.
    """
    if "numba" in sys.modules:
        use_threads(count)
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(count)

"""Number of threads of this process's compiled kernels."""

from __future__ import annotations

import os
import sys


def use_threads(count: int) -> None:
    """Sets the kernels' number of threads to ``count``, but at most the number of CPUs."""
    import numba  # ignores OMP_NUM_THREADS, and reads NUMBA_NUM_THREADS only when it is loaded

    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def threads_for(pieces: int) -> int:
    """Returns how many threads kernels use for so many independent pieces of work."""
    import numba

    return max(1, min(numba.get_num_threads(), pieces))


def use_threads_only(count: int) -> None:
    """Limits a new worker process to ``count`` threads for its whole life.

    Otherwise every worker of a large machine would keep as many idle threads as there are CPUs. Numba is not
    loaded here, since networks do not need it and loading takes half a second.
    """
    if "numba" in sys.modules:
        use_threads(count)
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(count)

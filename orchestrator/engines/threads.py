"""How many threads the compiled kernels of this process use."""

from __future__ import annotations


def use_threads(count: int) -> None:
    """Lets kernels use ``count`` threads, or as many as there are CPUs if that is fewer."""
    import numba  # it ignores OMP_NUM_THREADS, and its own limit is read only once

    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))

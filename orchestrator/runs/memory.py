"""What Arrow's allocators are told."""

from __future__ import annotations

import os
from contextlib import suppress

import pyarrow as pa


def use_small_pages() -> None:
    """For what is over at once: from now on Arrow does not ask for huge pages.

    Its own choice of allocator does. On a virtual machine to touch them first may take as long as all else
    that finishing a short run does; where memory is used again and again it is the more frugal one.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        with suppress(NotImplementedError):  # not built in everywhere
            pa.set_memory_pool(pa.jemalloc_memory_pool())


def give_back() -> None:
    """Arrow's allocator would keep what it no longer needs, some 50 MB."""
    pa.default_memory_pool().release_unused()

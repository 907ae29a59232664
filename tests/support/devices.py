"""Devices of the contract suite: all of Aer, with those that this machine lacks visibly skipped."""

from __future__ import annotations

import pytest

from orchestrator.backends.aer.simulator import no_gpu

NEEDS_GPU = pytest.mark.skipif(bool(no_gpu()), reason=f"needs a GPU: {no_gpu()}")
DEVICES = ("CPU", pytest.param("GPU", marks=NEEDS_GPU))
"""Values of ``gradient.backend.device``."""

"""Shared fixtures: one Ray cluster, and a small sweep with something of everything."""

from __future__ import annotations

import gc
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from heads import heads  # noqa: F401 - a fixture
from hypothesis import HealthCheck, settings
from object_store import bucket, store_url  # noqa: F401 - fixtures
from paths import ROOT, TESTS
from sweeps import SMALL
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# No deadlines: a busy machine draws examples slowly.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(16)  # else Ray leaves one in the home folder

MIXED = """\
name: mixed
base:
  data: {source: moons, rows: 60, noise: 0.2, scale: angle}
  model: {kind: mlp, hidden: [3], activation: relu}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates:
    - null
    - {optimizer: sgd, learning_rate: 0.1}
  batch: {size: 7, shards: 3}
  steps: 9
  record: {histogram: true, evaluate: 4, parameters: final, components: [1]}
sweep:
  - cases:
      network:
        sweep:
          - updates.0: [null, {clip: norm, limit: 0.1}, {clip: value, limit: 0.01}]
          - updates.1.learning_rate: [0.1, 1e+308]  # the larger one diverges
      circuit:
        model: {kind: circuit, qubits: 2, layers: 2}
        loss: mse
        gradient: {engine: adjoint}
        updates.1: {optimizer: adam, learning_rate: 0.1}
      several:
        model: {kind: circuit, qubits: 2, layers: 1, observables: [Z0, X1], readout: softmax}
        loss: cross-entropy
        sweep:
          - gradient:
              - {engine: adjoint}
              - {engine: adjoint, backend: {kind: aer}}
              - {engine: parameter-shift, backend: {kind: batched, shots: 20}}
              - {engine: spsa, directions: 2, backend: {kind: aer, shots: 20}}
      hybrid:
        model:
          kind: hybrid
          layers:
            - {kind: dense, units: 2, activation: tanh}
            - {kind: circuit, qubits: 2, layers: 1, observables: [Z0, X1]}
            - {kind: dense, activation: sigmoid}
        gradient: {engine: adjoint}
      natural:
        model: {kind: circuit, qubits: 2, layers: 2}
        loss: mse
        gradient: {engine: adjoint}
        updates.1: {optimizer: qng, learning_rate: 0.1, momentum: 0.5}
      quantum-adam:
        model: {kind: circuit, qubits: 2, layers: 2}
        loss: mse
        gradient: {engine: adjoint}
        updates.1: {optimizer: quantum-adam, learning_rate: 0.1, metric: full}
        sweep: [{updates.1.clipnorm: [null, 0.3]}]
      probed-network: {mode: probe, updates: [{clip: norm, limit: 0.1}]}
      probed-circuit:
        mode: probe
        data: null
        model: {kind: circuit, qubits: 3, layers: 2, ansatz: random-pauli, observable: Z0 Z1}
        loss: expectation
        gradient: {engine: adjoint}
        updates: []
        batch: {size: 1, shards: 1}
  - seed: {range: 3}
"""


SLOW = ("tests/runs/test_objects.py", "tests/cli/test_jobs.py", "tests/promises/", "tests/fleet/")
"""Files that take longest. They come first, so that no process is alone with one of them at the end."""


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # tests live to the end; no further collection has to look at them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


SHARE_HEADS = ("tests/cli/test_jobs.py", "tests/fleet/test_cluster.py")
"""Files whose tests run in one process, where they share the clusters of ``heads``."""


class Scheduling(LoadFileScheduling):
    """Gives each file to one process, and the files of ``SHARE_HEADS`` to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return SHARE_HEADS[0] if file in SHARE_HEADS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of four CPUs, to which this process is connected.

    It declares two GPUs, which Ray counts without checking.
    """
    import ray

    tests = [path for path in TESTS.iterdir() if path.is_dir()]
    os.environ["PYTHONPATH"] = ":".join(map(str, [*tests, ROOT]))  # workers find these tests, this checkout
    context = ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture(scope="session")
def mixed_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of both models in both modes, with clips, Adam and trials that diverge."""
    path = tmp_path_factory.mktemp("mixed") / "mixed.yaml"
    path.write_text(MIXED)
    return path


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes of this test register their Ray clusters in a temporary folder, where no other test looks."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield


@pytest.fixture(scope="session")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of ``sweeps.SMALL``."""
    path = tmp_path_factory.mktemp("small") / "small.yaml"
    path.write_text(SMALL)
    return path

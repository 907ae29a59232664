"""GPUs on a machine without one: which workers get them, what is refused, what is printed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from devices import NEEDS_GPU
from diary import Diary
from fleets import nothing, run_on
from sweeps import read

import orchestrator
from orchestrator.api.placing import on_gpus
from orchestrator.backends.aer import simulator
from orchestrator.cli import main
from orchestrator.errors import FleetError, InputError
from orchestrator.training.loop import Team

doctor: Any = importlib.import_module("orchestrator.cli.doctor")  # in its package, that name is a command

MIXED = """\
name: mixed
base:
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: expectation
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  steps: 3
sweep:
  - gradient:
      - {engine: adjoint}
      - {engine: adjoint, backend: {kind: aer}}
      - {engine: adjoint, backend: {kind: aer, device: GPU}}
      - {engine: parameter-shift, backend: {kind: aer, device: GPU}}
  - model.layers: [1, 2]
"""
WITHOUT_GPU = pytest.mark.skipif(not simulator.no_gpu(), reason="this machine has a GPU")
REFUSAL = r"gradient\.backend\.device: is GPU, but Aer offers CPU here: .*qiskit-aer-gpu"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    return path


# Workers.


@pytest.fixture
def fleet_of(cluster: str) -> Any:  # noqa: ARG001 - Ray must run
    from orchestrator.fleet.ray import RayFleet

    return RayFleet


@pytest.mark.parametrize(("workers", "cpus", "gpus"), [(3, 1, 1), (2, 2, 2)])
def test_more_workers_than_gpus_are_refused_at_once(
    fleet_of: Any, workers: int, cpus: int, gpus: int
) -> None:
    requested = f"{workers} workers with {cpus} CPU and {gpus} GPU each do not fit"
    available = f"the cluster has 4 CPUs and 2 GPUs, room for {2 // gpus}"
    with pytest.raises(FleetError, match=f"{requested}: {available}; ask for fewer --workers"):
        fleet_of(workers, cpus, nothing, gpus)


def test_cluster_without_a_gpu_is_refused_with_the_way_out(
    fleet_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0}}])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
    with pytest.raises(FleetError, match="has 8 CPUs and 0 GPUs, room for 0; add a node with a GPU, or run"):
        fleet_of(1, 1, nothing, 1)


@pytest.mark.usefixtures("cluster")
def test_number_of_workers_fits_their_cpus_and_gpus() -> None:
    from orchestrator.fleet.cluster import capacity, joined

    expected = {(1, 0): 4, (3, 0): 1, (1, 1): 2, (4, 1): 1, (1, 2): 1}
    assert {key: capacity(*key) for key in expected} == expected
    with joined(None, None, 1, 1) as (_, workers):
        assert workers == 2


def test_cpus_and_gpus_of_a_worker_are_on_one_node(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    import ray

    from orchestrator.fleet.cluster import capacity

    nodes = [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}]
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
    assert capacity(2, 1) == 1


def process_facts(_: Any, __: int) -> tuple[str, int, bool]:
    """The visible GPUs of a worker, its parent, and whether it is a fork of this process."""
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getppid(), hasattr(sys, "remembered")


def process_facts_of(team: Team, count: int) -> list[Any]:
    return team.map(process_facts, None, range(count))


def test_worker_with_a_gpu_sees_only_its_own_and_is_not_forked(
    fleet_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process forked from one with a GPU aborts; several GPUs in one process give wrong numbers."""
    monkeypatch.setattr(sys, "remembered", True, raising=False)
    fleet = fleet_of(2, 1, nothing, 1)
    devices, parents, forked = zip(*run_on(fleet, process_facts_of, 2, helpers=1).value, strict=True)
    fleet.close()
    assert sorted(devices) == ["0", "1"]
    assert os.getpid() not in parents
    assert not any(forked)


# A whole sweep.


def test_engines_that_need_a_gpu_are_found_in_the_plan() -> None:
    engines = on_gpus(read(MIXED).plan)
    assert [engine.engine for engine in engines] == ["adjoint", "parameter-shift"]
    assert all(engine.gpus == 1 for engine in engines)
    assert on_gpus(read(MIXED, "sweep.0.gradient=[{engine: adjoint}]").plan) == ()


@WITHOUT_GPU
def test_sweep_that_needs_a_gpu_in_this_process_is_refused_before_anything_is_written(
    sweep: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=REFUSAL):
        orchestrator.run(sweep, tmp_path / "out", where=orchestrator.Where(inline=True))
    assert not (tmp_path / "out").exists()


@WITHOUT_GPU
def test_workers_check_their_gpu_before_they_take_work(cluster: str, sweep: Path, tmp_path: Path) -> None:
    """Ray assigns a GPU to every worker, and Aer finds none."""
    diary = Diary()
    with pytest.raises(FleetError, match=r"workers fail at their start; the last error: " + REFUSAL):
        orchestrator.run(sweep, tmp_path / "out", where=orchestrator.Where(address=cluster), watcher=diary)
    assert diary.calls["placed"][1] == 2
    assert diary.calls["advanced"].steps == 0


def test_too_many_workers_with_a_gpu_are_refused(cluster: str, sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="3 workers with 1 CPU and 1 GPU each do not fit"):
        orchestrator.run(sweep, tmp_path / "out", where=orchestrator.Where(address=cluster, workers=3))


@NEEDS_GPU
def test_sweep_on_a_gpu_gives_the_numbers_of_the_kernel(sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(sweep, tmp_path / "out", where=orchestrator.Where(inline=True))
    steps = orchestrator.open_run(tmp_path / "out").steps.to_pandas()
    for _, same in steps.groupby(["model.layers", "step"]):
        assert len(same) == 4
        assert same.loss.to_numpy() == pytest.approx(same.loss.iloc[0], abs=1e-10)  # rounding alone


# Messages.


def output_of(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(sys, "argv", ["orchestrator", *command])
    main()
    return " ".join(capsys.readouterr().out.split())


@WITHOUT_GPU
def test_plan_says_that_the_gpu_is_not_checked(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = output_of(("plan", str(sweep)), monkeypatch, capsys)
    assert "8 trials in 8 structures" in output
    assert "takes a GPU for each worker; neither checked nor timed on this machine: gradient" in output


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replaces ``nvidia-smi`` by a script that prints a text."""

    def make(text: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\necho '{text}'\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return make


def test_doctor_lists_the_devices_and_methods_of_aer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "no_gpu", lambda: "no luck")
    ok, _, found = doctor._aer()
    assert ok
    assert found.startswith("CPU; ")
    assert "statevector, density_matrix" in found


def test_doctor_says_what_to_install_if_aer_cannot_use_a_gpu(
    nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi("GPU 0: NVIDIA X1 (UUID: GPU-12)")
    monkeypatch.setattr(simulator, "no_gpu", lambda: "it is built for CPUs only; install another")
    text = "GPU 0: NVIDIA X1; Aer cannot use a GPU: it is built for CPUs only; install another"
    assert doctor._gpu() == (None, "GPU", text)


def test_doctor_says_how_to_use_a_gpu(
    nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi("GPU 0: NVIDIA X1 (UUID: GPU-12)")
    monkeypatch.setattr(simulator, "no_gpu", lambda: "")
    assert doctor._gpu() == (True, "GPU", "GPU 0: NVIDIA X1; in a sweep: backend: {kind: aer, device: GPU}")


def test_doctor_explains_why_aer_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ImportError("libcustatevec.so.1: cannot open shared object file")

    monkeypatch.setattr(simulator, "no_gpu", broken)
    ok, _, found = doctor._aer()
    assert ok is False
    assert "libcustatevec.so.1: cannot open shared object file; qiskit-aer-gpu needs the libraries" in found
    assert doctor._gpu()[2].endswith("Aer does not load")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (("qiskit-aer",), (True, "qiskit-aer 1")),
        (("qiskit-aer-gpu",), (True, "qiskit-aer-gpu 1")),
        (("qiskit-aer", "qiskit-aer-gpu"), (False, "uninstall both, then install one")),
        ((), (False, "missing: pip install qiskit-aer")),
    ],
)
def test_doctor_knows_both_packages_of_aer(
    installed: tuple[str, ...], expected: tuple[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise doctor.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", version)
    ok, _, found = doctor._aer_package()
    assert (ok, expected[1] in found) == (expected[0], True)

"""Assigns trained values to the parameters of a circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from orchestrator.errors import RunDirectoryError

if TYPE_CHECKING:
    from orchestrator.runs.reader import Run


def assign(run: Run, circuit: Any, trial: str | None) -> Any:
    """Returns a copy of a ``QuantumCircuit`` with the trained values of a trial bound to its parameters.

    Parameters are matched by name. Parameters that were not trained, such as inputs, stay free.

    Args:
        circuit: the trained circuit, with free parameters.
        trial: id of the trial; may be left out if only one trial has trained parameters.

    Raises:
        RunDirectoryError: the run has no trained parameters, or none of ``trial``; ``trial`` is left out, but
            several trials have some; or no name fits a parameter of the circuit.

    Example::

        bound = open_run("runs/own").assign(circuit, "5f0c3f2a9d1e4b67")
    """
    trained = run.read("parameters", ["trial", "name", "value"])
    rows = trained.filter(pc.equal(trained["trial"], _chosen(pc.unique(trained["trial"]).to_pylist(), trial)))
    names = {symbol.name for symbol in circuit.parameters}
    pairs = zip(rows["name"].to_pylist(), rows["value"].to_pylist(), strict=True)
    values = {name: value for name, value in pairs if name in names}
    if not values:
        raise RunDirectoryError(f"the circuit has none of the trained parameters ({rows['name'][0]}, …)")
    return circuit.assign_parameters(values)


def _chosen(trials: list[str], trial: str | None) -> str:
    if not trials:
        raise RunDirectoryError("the run has no trained parameters; set record: {parameters: final}")
    if trial is None and len(trials) > 1:
        raise RunDirectoryError(f"{len(trials)} trials have trained parameters; name the trial")
    if trial is not None and trial not in trials:
        raise RunDirectoryError(f"trial {trial} has no trained parameters in this run")
    return trial or trials[0]

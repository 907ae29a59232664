"""Trained values, put back into the circuit that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from orchestrator.errors import RunDirectoryError

if TYPE_CHECKING:
    from orchestrator.runs.reader import Run


def assign(run: Run, circuit: Any, trial: str | None) -> Any:
    """A copy of a ``QuantumCircuit`` with the trained values of a trial in the place of its parameters.

    Parameters are known by their names; those that were not trained, such as inputs, stay free.

    Args:
        circuit: the trained circuit, with its parameters free.
        trial: its id; may be left out if one trial alone has trained parameters.

    Raises:
        RunDirectoryError: the run has no trained parameters, those of several trials or none of this one,
            or none of their names is a parameter of the circuit.

    Example::

        bound = open_run("runs/own").assign(circuit, "5f0c3f2a9d1e4b67")
    """
    kept = run.read("parameters", ["trial", "name", "value"])
    rows = kept.filter(pc.equal(kept["trial"], _chosen(pc.unique(kept["trial"]).to_pylist(), trial)))
    named = {symbol.name for symbol in circuit.parameters}
    pairs = zip(rows["name"].to_pylist(), rows["value"].to_pylist(), strict=True)
    values = {name: value for name, value in pairs if name in named}
    if not values:
        raise RunDirectoryError(f"the circuit has none of the trained parameters ({rows['name'][0]}, …)")
    return circuit.assign_parameters(values)


def _chosen(trials: list[str], trial: str | None) -> str:
    if not trials:
        raise RunDirectoryError("no trained parameters were kept; set record: {parameters: final}")
    if trial is None and len(trials) > 1:
        raise RunDirectoryError(f"{len(trials)} trials have trained parameters; name one of them")
    if trial is not None and trial not in trials:
        raise RunDirectoryError(f"trial {trial} has no trained parameters in this run")
    return trial or trials[0]

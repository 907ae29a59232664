"""Checks whether a cluster has the packages that a job needs, and lists what to send if not."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

import orchestrator
from orchestrator.errors import FleetError
from orchestrator.fleet.jobs import Jobs

_PACKAGE = "orchestrator"
_EITHER = ("qiskit-aer", "qiskit-aer-gpu")
"""Two packages that install the same module."""
_OLDEST_RAY = (2, 52)
_PATH = "start Ray on its head with the package's Python environment on the PATH"
_WITHIN_S = 120.0
_MARK = "packages: "
_PROBE = f"""\
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {{"python": sys.version.split()[0]}}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print({_MARK!r} + json.dumps(found))
"""


@dataclass(frozen=True)
class PackageDifferences:
    """Differences between the packages of a cluster's Python and those here.

    Attributes:
        missing: names of packages that it lacks, and this package if its version there is another one.
        others: packages in other versions: name -> (version there, version here).
    """

    missing: tuple[str, ...]
    others: Mapping[str, tuple[str, str]]


def needed() -> dict[str, str]:
    """Returns the versions, as installed here, of this package and its requirements, including Ray."""
    names = [re.split(r"[^\w.-]", text)[0] for text in requires(_PACKAGE) or () if "extra ==" not in text]
    versions = {}
    for name in (_PACKAGE, *names, *_EITHER):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def probe_cluster(jobs: Jobs) -> PackageDifferences:
    """Compares the packages of the cluster's ``python`` with those here; takes a few seconds.

    Raises:
        FleetError: the cluster has no ``python``, or its Ray is too old.
    """
    here = needed()
    command = f"exec {shlex.join(['python', '-c', _PROBE, *here, *_EITHER])}"
    printed = jobs.ask(f"{_PACKAGE}-packages", command, _WITHIN_S)
    lines = [line for line in printed.splitlines() if line.startswith(_MARK)]
    if not lines:
        answer = " ".join(printed.splitlines()[-1:])
        raise FleetError(
            f"the cluster at {jobs.url} cannot run `python`: {answer or 'it printed nothing'}; {_PATH}"
        )
    return compare(here, json.loads(lines[-1].removeprefix(_MARK)))


def compare(here: Mapping[str, str], there: Mapping[str, str]) -> PackageDifferences:
    """Returns the packages that are missing or have another version there.

    Raises:
        FleetError: Ray is too old there, or does not run in that Python.
    """
    ray = there.get("ray")
    if ray is None:
        raise FleetError(
            f"the cluster's `python` lacks Ray, so Ray runs in another one; {_PATH}, or give --pip"
        )
    if tuple(int(part) for part in ray.split(".")[:2]) < _OLDEST_RAY:
        raise FleetError(
            f"the cluster runs Ray {ray}; this package needs {_OLDEST_RAY[0]}.{_OLDEST_RAY[1]} or newer"
        )
    aer = any(name in there for name in _EITHER)
    missing = [name for name in here if name not in there and not (name in _EITHER and aer)]
    if there.get(_PACKAGE, here[_PACKAGE]) != here[_PACKAGE]:
        missing.append(f"{_PACKAGE} {here[_PACKAGE]} (it has {there[_PACKAGE]})")
    others = {name: (there[name], here[name]) for name in here if name in there and there[name] != here[name]}
    return PackageDifferences(tuple(missing), others)


def pins() -> list[str]:
    """Returns requirements that pin the versions installed here, without Ray, which is the cluster's."""
    return [f"{name}=={number}" for name, number in needed().items() if name not in ("ray", _PACKAGE)]


def source() -> dict[str, bytes]:
    """Returns the files of this package by path, to be shipped: a job imports it from its folder."""
    top = Path(orchestrator.__file__).parent
    files = [path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    installed = distribution(_PACKAGE)  # a wheel has METADATA, a source tree PKG-INFO
    metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    return {
        **{path.relative_to(top.parent).as_posix(): path.read_bytes() for path in files},
        f"{_PACKAGE}-{version(_PACKAGE)}.dist-info/METADATA": metadata.encode(),
    }

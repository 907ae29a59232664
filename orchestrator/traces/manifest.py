"""What a run says about itself: its marker, the markers of its commits, the list of its finished parts.

    run.json                     whose run this is; written first, a folder without it is no run
    commits/000042/complete.json this commit's files; written last, a commit without it does not exist
    complete.json                the parts of the finished tables and the last commit that went into them

Every commit says which one it follows. The commits that count are the chain from the finished part's
last commit on: a merged commit stands where those stood that it replaces, and what comes after a
missing or damaged commit is not reached, so that rows and states always fit together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Self, TypeVar

from orchestrator.errors import RunDirectoryError
from orchestrator.traces.rows import KeyColumn
from orchestrator.traces.storage import FileRecord, Storage

FORMAT = 1
"""Version of the layout of a run directory."""

RUN = "run.json"
SWEEP = "sweep.yaml"
COMPLETE = "complete.json"
COMMITS = "commits"
SCRATCH = "compacting"
FANOUT = 16
"""So many commits of one level are merged into one of the next: each row is rewritten log16 n times."""

Built = TypeVar("Built")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class RunInfo:
    """Whose run a directory holds.

    Attributes:
        record: what the traces keep, canonical JSON.
        versions: of the package and of the libraries that compute.
        keys: the swept keys, also those of earlier sweeps of this name.
    """

    name: str
    record: str
    versions: dict[str, str]
    keys: tuple[KeyColumn, ...]

    def dump(self) -> bytes:
        """The content of ``run.json``."""
        return _dump({"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: Storage) -> Self | None:
        """Reads ``run.json``; None if there is none.

        Raises:
            RunDirectoryError: it is damaged, or written by a later format.
        """
        if (text := folder.read(RUN)) is None:
            return None
        return _parse(text, folder.path(RUN), cls._build)

    @classmethod
    def _build(cls, fields: dict[str, Any]) -> Self:
        return cls(**{**fields, "keys": tuple(KeyColumn(**key) for key in fields["keys"])})


@dataclass(frozen=True)
class Complete:
    """The finished parts of a run.

    Attributes:
        through: number of the last commit that is inside; commits up to it are left-overs.
        sweep: SHA-256 of the sweep file whose swept keys are attached.
        files: ``<table>/part-….parquet`` -> size and hash.
    """

    generation: int
    through: int
    sweep: str
    files: dict[str, FileRecord]

    def dump(self, info: RunInfo) -> bytes:
        """The content of the top-level ``complete.json``."""
        return _dump({"format": FORMAT, **asdict(self), "run": asdict(info)})

    @classmethod
    def load(cls, folder: Storage) -> Self | None:
        """Reads ``complete.json``; None if there is none. Raises RunDirectoryError if it is damaged."""
        if (text := folder.read(COMPLETE)) is None:
            return None
        return _parse(text, folder.path(COMPLETE), cls._build)

    @classmethod
    def _build(cls, fields: dict[str, Any]) -> Self:
        return cls(fields["generation"], fields["through"], fields["sweep"], _records(fields))


@dataclass(frozen=True)
class Commit:
    """The marker of one commit.

    Attributes:
        number: the name of its folder under ``commits/``.
        follows: number of the commit before it when it was made; of those before what it replaces.
        level: how often its rows were merged.
        replaces: numbers of the commits that were merged into it.
        files: ``<table>.arrow`` and ``state.arrow`` -> size and hash.
    """

    number: int
    follows: int
    level: int
    replaces: tuple[int, ...]
    files: dict[str, FileRecord]

    @property
    def folder(self) -> str:
        """Its folder, relative to the run's."""
        return f"{COMMITS}/{self.number:06d}"

    def dump(self) -> bytes:
        """The content of its ``complete.json``."""
        fields = asdict(self)
        return _dump({"format": FORMAT, **{name: fields[name] for name in fields if name != "number"}})

    @classmethod
    def load(cls, folder: Storage, number: int) -> Self | None:
        """Reads a commit's marker; None if it has none or a damaged one."""
        text = folder.read(f"{COMMITS}/{number:06d}/{COMPLETE}") or b""
        try:
            fields = json.loads(text)
            replaces = tuple(fields["replaces"])
            return cls(number, fields["follows"], fields["level"], replaces, _records(fields))
        except _MALFORMED:
            return None


@dataclass(frozen=True)
class Snapshot:
    """What a run held at one moment: the list of finished parts and the commits that count, in order."""

    complete: Complete | None
    commits: tuple[Commit, ...]

    def files(self, table: str) -> list[str]:
        """The files of a table (or ``state``), finished parts first, then commits in order."""
        parts = sorted(name for name in self.parts if name.startswith(f"{table}/"))
        committed = [f"{commit.folder}/{name}" for commit in self.commits for name in commit.files]
        return parts + [name for name in committed if PurePath(name).stem == table]

    @property
    def parts(self) -> dict[str, FileRecord]:
        """The finished parts, all tables."""
        return self.complete.files if self.complete else {}

    @property
    def last(self) -> int:
        """Number of the last commit that counts; 0 before the first."""
        through = self.complete.through if self.complete else 0
        return self.commits[-1].number if self.commits else through


def chain(commits: Iterable[Commit], through: int) -> tuple[Commit, ...]:
    """The commits that count, in order, from the one that follows ``through``."""
    following = {commit.follows: commit for commit in sorted(commits, key=lambda commit: commit.number)}
    counted: list[Commit] = []
    while (commit := following.get(through)) and commit.number > through:
        counted.append(commit)
        through = commit.number
    return tuple(counted)


def due(commits: tuple[Commit, ...]) -> tuple[Commit, ...]:
    """The commits that are to be merged now: the last sixteen, if they are of one level."""
    tail = commits[-FANOUT:]
    return tail if len(tail) == FANOUT and len({commit.level for commit in tail}) == 1 else ()


Check = Callable[[Storage, str, FileRecord], bool]
"""Whether a file is what its marker says."""


def same_size(folder: Storage, name: str, record: FileRecord) -> bool:
    """Whether the file is there in full; what readers check."""
    return folder.size(name) == record.size


def same_content(folder: Storage, name: str, record: FileRecord) -> bool:
    """Whether the file has the hash that its marker says; what the writer checks."""
    return folder.record(name) == record


def commit_numbers(folder: Storage) -> list[int]:
    """Numbers of all folders under ``commits/``, marked or not."""
    return sorted(int(name) for name in folder.names(COMMITS) if name.isdecimal())


def snapshot(folder: Storage, check: Check = same_size) -> Snapshot:
    """Reads the lists of a run, also while its driver merges and compacts.

    Folders are listed before and after: a merge or a compaction marks its result before it removes
    what that replaces, so if neither list has changed, nothing that counts was missed.
    """
    while True:
        before = folder.read(COMPLETE), commit_numbers(folder)
        complete = Complete.load(folder)
        markers = (Commit.load(folder, number) for number in commit_numbers(folder))
        intact = [commit for commit in markers if commit and _intact(folder, commit, check)]
        if before == (folder.read(COMPLETE), commit_numbers(folder)):
            return Snapshot(complete, chain(intact, complete.through if complete else 0))


def _intact(folder: Storage, commit: Commit, check: Check) -> bool:
    return all(check(folder, f"{commit.folder}/{name}", record) for name, record in commit.files.items())


def _dump(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _parse(text: bytes, path: str, build: Callable[[dict[str, Any]], Built]) -> Built:
    try:
        fields = json.loads(text)
        if (written := fields.pop("format")) == FORMAT:
            return build(fields)
    except _MALFORMED:
        raise RunDirectoryError(
            f"{path} is damaged: restore it from a copy, or use another directory"
        ) from None
    raise RunDirectoryError(
        f"{path} is of format {written}, this version knows {FORMAT}: use the version that wrote it"
    )


def _records(fields: dict[str, Any]) -> dict[str, FileRecord]:
    return {name: FileRecord(**record) for name, record in fields["files"].items()}

"""What a run says about itself: its marker, the markers of its commits, the list of its finished parts.

    run.json                     whose run this is; written first, a folder without it is no run
    commits/000042/complete.json this commit's files; written last, a commit without it does not exist
    complete.json                the parts of the finished tables and the last commit that went into them

Every commit says which one it follows. The commits that count are the chain from the finished part's
last commit on: a merged commit stands where those stood that it replaces, and what comes after a
missing or damaged commit is not reached, so that rows and states always fit together. Markers carry a hash of
their own content: a damaged ``run.json`` or list is refused, the marker of a commit counts as none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any, Self, TypeVar, cast, get_args

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage import markers
from orchestrator.runs.storage.base import FileRecord, RowFile, Storage
from orchestrator.tables.rows import KeyColumn, KeyType

FORMAT, UNHASHED = 3, 1
"""Version of the layout of a run directory; and the first one, whose markers and pages carry no hashes. Up to
format 2 each row of a commit carried the swept keys of its trial, and commits had no table of keys."""

RUN = "run.json"
SWEEP = "sweep.yaml"
COMPLETE = "complete.json"
COMMITS = "commits"
SCRATCH = "compacting"
FANOUT = 16
"""So many commits of one level are merged into one of the next: each row is rewritten log16 n times."""

UNNUMBERED = 0
"""In the place of a commit's number, which markers of format 1 do not say."""

Parsed = TypeVar("Parsed")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class RunInfo:
    """Whose run a directory holds.

    Attributes:
        record: what the traces keep, canonical JSON.
        versions: of the package and of the libraries that compute.
        keys: the swept keys, also those of earlier sweeps of this name.
        format: version of the layout.
    """

    name: str
    record: str
    versions: dict[str, str]
    keys: tuple[KeyColumn, ...]
    format: int = FORMAT

    def dump(self) -> bytes:
        """The content of ``run.json``."""
        return markers.dump(asdict(self))

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
        versions = {name: _text(version) for name, version in fields["versions"].items()}
        keys = tuple(KeyColumn(_text(key["name"]), _key_type(key["type"])) for key in fields["keys"])
        return cls(_text(fields["name"]), _text(fields["record"]), versions, keys, fields["format"])


@dataclass(frozen=True)
class Complete:
    """The finished parts of a run.

    Attributes:
        through: number of the last commit that is inside; commits up to it are left-overs.
        sweep: SHA-256 of the sweep file whose swept keys are attached.
        files: ``<table>/part-….parquet`` -> size and hashes.
    """

    generation: int
    through: int
    sweep: str
    files: dict[str, FileRecord]

    def dump(self, info: RunInfo) -> bytes:
        """The content of the top-level ``complete.json``."""
        return markers.dump({"format": FORMAT, **asdict(self), "run": asdict(info)})

    @property
    def hashed(self) -> bool:
        """Whether the pages of all parts carry checksums; those of format 1 have none, and no hash of
        their footers."""
        return all(record.footer for record in self.files.values())

    @classmethod
    def load(cls, folder: Storage) -> Self | None:
        """Reads ``complete.json``; None if there is none. Raises RunDirectoryError if it is damaged."""
        if (text := folder.read(COMPLETE)) is None:
            return None
        return _parse(text, folder.path(COMPLETE), cls._build)

    @classmethod
    def _build(cls, fields: dict[str, Any]) -> Self:
        numbers = _whole(fields["generation"]), _whole(fields["through"])
        return cls(*numbers, _text(fields["sweep"]), _records(fields))


@dataclass(frozen=True)
class Commit:
    """The marker of one commit.

    Attributes:
        number: the name of its folder under ``commits/``.
        follows: number of the commit before it when it was made; of those before what it replaces.
        level: how often its rows were merged.
        replaces: numbers of the commits that were merged into it.
        files: ``<table>.arrow``, ``keys.arrow`` and ``state.arrow`` -> size and hash.
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

    @property
    def listed(self) -> list[RowFile]:
        """Its files, by their names in the run."""
        return [RowFile(f"{self.folder}/{name}", record) for name, record in self.files.items()]

    def dump(self) -> bytes:
        """The content of its ``complete.json``."""
        return markers.dump({"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: Storage, number: int) -> Self | None:
        """Reads a commit's marker; None if it has none, a damaged one, or that of another commit."""
        path = f"{COMMITS}/{number:06d}/{COMPLETE}"
        try:
            commit = _parse(folder.read(path) or b"", folder.path(path), cls._build)
        except RunDirectoryError:
            return None
        if commit.number == UNNUMBERED:
            return replace(commit, number=number)
        return commit if commit.number == number else None

    @classmethod
    def _build(cls, fields: dict[str, Any]) -> Self:
        number, follows = _whole(fields.get("number", UNNUMBERED)), _whole(fields["follows"])
        replaces = tuple(map(_whole, fields["replaces"]))
        return cls(number, follows, _whole(fields["level"]), replaces, _records(fields))


@dataclass(frozen=True)
class Snapshot:
    """What a run held at one moment: the list of finished parts and the commits that count, in order."""

    complete: Complete | None
    commits: tuple[Commit, ...]

    def files(self, table: str) -> list[RowFile]:
        """The files of a table (or ``keys``, ``state``), finished parts first, then commits in order."""
        parts = [
            RowFile(name, self.parts[name]) for name in sorted(self.parts) if name.startswith(f"{table}/")
        ]
        committed = [file for commit in self.commits for file in commit.listed]
        return parts + [file for file in committed if PurePath(file.name).stem == table]

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


FileCheck = Callable[[Storage, RowFile], bool]
"""Whether a file is what its marker says."""


def same_size(folder: Storage, file: RowFile) -> bool:
    """Whether the file is there in full; what readers check first."""
    return file.record is not None and folder.size(file.name) == file.record.size


def same_content(folder: Storage, file: RowFile) -> bool:
    """Whether the file has the hash that its marker says; what the writer checks."""
    return folder.record(file.name) == file.record


def commit_numbers(folder: Storage) -> list[int]:
    """Numbers of all folders under ``commits/``, marked or not."""
    return sorted(int(name) for name in folder.names(COMMITS) if name.isdecimal())


def snapshot(folder: Storage, check: FileCheck = same_size) -> Snapshot:
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


def _intact(folder: Storage, commit: Commit, check: FileCheck) -> bool:
    return all(check(folder, file) for file in commit.listed)


def _parse(text: bytes, path: str, build: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    """What a marker says. One of format 1 has no hash, later ones must have theirs."""
    try:
        fields, hashed = markers.parse(text)
        written = fields["format"]
        if written in range(UNHASHED, FORMAT + 1):
            if hashed == (written == UNHASHED):
                raise markers.DamagedMarkerError("its hash has gone")
            return build(fields)
    except _MALFORMED:
        raise RunDirectoryError(
            f"{path} is damaged: restore it from a copy, or use another directory"
        ) from None
    raise RunDirectoryError(
        f"{path} is of format {written}, this version knows {UNHASHED} to {FORMAT}: "
        "use the version that wrote it"
    )


def _records(fields: dict[str, Any]) -> dict[str, FileRecord]:
    return {
        name: FileRecord(_whole(record["size"]), _text(record["sha256"]), _text(record.get("footer", "")))
        for name, record in fields["files"].items()
    }


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return value


def _key_type(value: Any) -> KeyType:
    if value not in get_args(KeyType):
        raise TypeError(f"{value!r} is no type of a swept key")
    return cast(KeyType, value)

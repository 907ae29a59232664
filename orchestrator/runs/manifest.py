"""The markers of a run: of the run itself, of its commits, and of its finished parts.

    run.json                     identity of the run; written first, a folder without it is not a run
    commits/000042/complete.json files of this commit; written last, a commit without it does not exist
    complete.json                parts of the finished tables, and the last commit that they contain

Each commit names the commit that it follows. The commits that count form a chain, which starts after the last
commit in the finished parts. A merged commit follows the commit that the first of its originals followed. The
chain ends before a missing or damaged commit, so rows and states always fit together.

Markers carry a hash of their own content. A damaged ``run.json`` or list of parts is refused. A commit with a
damaged marker counts as unmarked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any, Self, TypeVar, cast, get_args

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage import markers
from orchestrator.runs.storage.base import Fingerprint, RowFile, Storage
from orchestrator.tables.rows import KeyColumn, KeyType

FORMAT, UNHASHED = 3, 1
"""Current version of the layout of a run directory, and the first version.

In format 1 markers and pages have no hashes. Up to format 2 each row of a commit had the swept keys of its
trial, and commits had no table of keys.
"""

RUN = "run.json"
SWEEP = "sweep.yaml"
COMPLETE = "complete.json"
COMMITS = "commits"
SCRATCH = "compacting"
FANOUT = 16
"""Number of commits of one level that are merged into one of the next level.

With n commits, each row is rewritten log16 n times.
"""

UNNUMBERED = 0
"""Number of a commit whose marker has none, as in format 1."""

Parsed = TypeVar("Parsed")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class RunInfo:
    """Identity of the run in a directory.

    Attributes:
        name: name of the sweep.
        record: what the traces keep, as canonical JSON.
        versions: versions of the package and of the libraries that compute.
        keys: the swept keys, including those of earlier sweeps of this name.
        format: version of the layout.
    """

    name: str
    record: str
    versions: dict[str, str]
    keys: tuple[KeyColumn, ...]
    format: int = FORMAT

    def dump(self) -> bytes:
        """Returns the content of ``run.json``."""
        return markers.dump(asdict(self))

    @classmethod
    def load(cls, folder: Storage) -> Self | None:
        """Reads ``run.json``; None if there is none.

        Raises:
            RunDirectoryError: the file is damaged, or of a later format.
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
        generation: number of the newest generation of parts.
        through: number of the last commit in the parts; commits up to this number are left-overs.
        sweep: SHA-256 of the sweep file whose swept keys the parts have.
        files: ``<table>/part-….parquet`` -> size and hashes.
    """

    generation: int
    through: int
    sweep: str
    files: dict[str, Fingerprint]

    def dump(self, info: RunInfo) -> bytes:
        """Returns the content of the top-level ``complete.json``."""
        return markers.dump({"format": FORMAT, **asdict(self), "run": asdict(info)})

    @property
    def hashed(self) -> bool:
        """Whether all parts have page checksums and a footer hash; parts of format 1 have neither."""
        return all(fingerprint.footer for fingerprint in self.files.values())

    @classmethod
    def load(cls, folder: Storage) -> Self | None:
        """Reads ``complete.json``; None if there is none. Raises RunDirectoryError if it is damaged."""
        if (text := folder.read(COMPLETE)) is None:
            return None
        return _parse(text, folder.path(COMPLETE), cls._build)

    @classmethod
    def _build(cls, fields: dict[str, Any]) -> Self:
        numbers = _integer(fields["generation"]), _integer(fields["through"])
        return cls(*numbers, _text(fields["sweep"]), _fingerprints(fields))


@dataclass(frozen=True)
class Commit:
    """The marker of one commit.

    Attributes:
        number: number of the commit, which also names its folder under ``commits/``.
        follows: number of the commit before this one; before the first replaced one, if this is a merge.
        level: number of merges that its rows have been through.
        replaces: numbers of the commits that were merged into this one.
        files: ``<table>.arrow``, ``keys.arrow`` and ``state.arrow`` -> size and hash.
    """

    number: int
    follows: int
    level: int
    replaces: tuple[int, ...]
    files: dict[str, Fingerprint]

    @property
    def folder(self) -> str:
        """Folder of the commit, relative to that of the run."""
        return f"{COMMITS}/{self.number:06d}"

    @property
    def row_files(self) -> list[RowFile]:
        """Files of the commit, by their names in the run."""
        return [RowFile(f"{self.folder}/{name}", fingerprint) for name, fingerprint in self.files.items()]

    def dump(self) -> bytes:
        """Returns the content of the commit's ``complete.json``."""
        return markers.dump({"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: Storage, number: int) -> Self | None:
        """Reads the marker of a commit; None if it is missing, damaged, or that of another commit."""
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
        number, follows = _integer(fields.get("number", UNNUMBERED)), _integer(fields["follows"])
        replaces = tuple(map(_integer, fields["replaces"]))
        return cls(number, follows, _integer(fields["level"]), replaces, _fingerprints(fields))


@dataclass(frozen=True)
class Snapshot:
    """Content of a run at one moment: the list of finished parts and the commits that count, in order."""

    complete: Complete | None
    commits: tuple[Commit, ...]

    def files(self, table: str) -> list[RowFile]:
        """Returns the files of a table (or of ``keys``, ``state``): finished parts, then commits in order."""
        parts = [
            RowFile(name, self.parts[name]) for name in sorted(self.parts) if name.startswith(f"{table}/")
        ]
        committed = [file for commit in self.commits for file in commit.row_files]
        return parts + [file for file in committed if PurePath(file.name).stem == table]

    @property
    def parts(self) -> dict[str, Fingerprint]:
        """The finished parts of all tables."""
        return self.complete.files if self.complete else {}

    @property
    def last(self) -> int:
        """Number of the last commit that counts; 0 before the first."""
        through = self.complete.through if self.complete else 0
        return self.commits[-1].number if self.commits else through


def chain(commits: Iterable[Commit], through: int) -> tuple[Commit, ...]:
    """Returns the commits that count, in order: the chain that starts after commit number ``through``."""
    following = {commit.follows: commit for commit in sorted(commits, key=lambda commit: commit.number)}
    counted: list[Commit] = []
    while (commit := following.get(through)) and commit.number > through:
        counted.append(commit)
        through = commit.number
    return tuple(counted)


def due_for_merge(commits: tuple[Commit, ...]) -> tuple[Commit, ...]:
    """Returns the commits to merge now: the last sixteen, if they are of one level; else none."""
    tail = commits[-FANOUT:]
    return tail if len(tail) == FANOUT and len({commit.level for commit in tail}) == 1 else ()


FileCheck = Callable[[Storage, RowFile], bool]
"""A check whether a file is what its marker says."""


def same_size(folder: Storage, file: RowFile) -> bool:
    """Returns whether the file has the size in its marker: the check of readers."""
    return file.fingerprint is not None and folder.size(file.name) == file.fingerprint.size


def same_content(folder: Storage, file: RowFile) -> bool:
    """Returns whether the file has the hash in its marker: the check of the writer."""
    return folder.fingerprint(file.name) == file.fingerprint


def commit_numbers(folder: Storage) -> list[int]:
    """Returns the numbers of all folders under ``commits/``, marked or not."""
    return sorted(int(name) for name in folder.names(COMMITS) if name.isdecimal())


def snapshot(folder: Storage, check: FileCheck = same_size) -> Snapshot:
    """Reads the markers of a run, also while its driver merges and compacts.

    A merge or a compaction marks its result before it removes what the result replaces. So the lists are read
    before and after. If neither has changed, nothing that counts was missed.
    """
    while True:
        before = folder.read(COMPLETE), commit_numbers(folder)
        complete = Complete.load(folder)
        markers = (Commit.load(folder, number) for number in commit_numbers(folder))
        intact = [commit for commit in markers if commit and _intact(folder, commit, check)]
        if before == (folder.read(COMPLETE), commit_numbers(folder)):
            return Snapshot(complete, chain(intact, complete.through if complete else 0))


def _intact(folder: Storage, commit: Commit, check: FileCheck) -> bool:
    return all(check(folder, file) for file in commit.row_files)


def _parse(text: bytes, path: str, build: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    """Parses a marker. Markers of format 1 have no hash, later ones must have one."""
    try:
        fields, hashed = markers.parse(text)
        version = fields["format"]
        if version in range(UNHASHED, FORMAT + 1):
            if hashed == (version == UNHASHED):
                raise markers.DamagedMarkerError("its hash is missing, or its format has none")
            return build(fields)
    except _MALFORMED:
        raise RunDirectoryError(
            f"{path} is damaged: restore it from a copy, or use another directory"
        ) from None
    raise RunDirectoryError(
        f"{path} is of format {version}, but this version reads {UNHASHED} to {FORMAT}: "
        "use the version that wrote it"
    )


def _fingerprints(fields: dict[str, Any]) -> dict[str, Fingerprint]:
    return {
        name: Fingerprint(_integer(entry["size"]), _text(entry["sha256"]), _text(entry.get("footer", "")))
        for name, entry in fields["files"].items()
    }


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not an integer")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is not text")
    return value


def _key_type(value: Any) -> KeyType:
    if value not in get_args(KeyType):
        raise TypeError(f"{value!r} is not a type of a swept key")
    return cast(KeyType, value)

"""Reading columns from the bytes of a Parquet, CSV or NPZ file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from orchestrator.addresses import is_uri, masked
from orchestrator.config.files import content
from orchestrator.data.arrow import Dialect, csv_text, read_csv, read_parquet
from orchestrator.data.columns import Columns, ColumnValues, listed, repeated
from orchestrator.errors import InputError
from orchestrator.process import memory_bytes

_LONGEST_REASON = 300
_ZIP = b"PK"

_Stamp = tuple[int, ...] | None
_digests: dict[str, tuple[_Stamp, str]] = {}
"""By path, the SHA-256 of what was read last."""


def suffix(path: str) -> str:
    """The end of a file's name, which says how the file is read."""
    return PurePosixPath(urlsplit(path).path if is_uri(path) else path).suffix.lower()


def columns(path: str, dialect: Dialect) -> Columns:
    """The columns of a file.

    Args:
        path: a local file or a URI, which ends in ``.parquet``, ``.csv`` or ``.npz``.
        dialect: how the file is written, if it is a CSV file.

    Raises:
        InputError: at ``data.path``, the file cannot be read, or columns share a name; at
            ``data.separator``.
    """
    if suffix(path) not in _READERS:
        raise InputError.at(
            "data.path", f"{masked(path)} ends in {suffix(path)!r} (legal: {', '.join(_READERS)})"
        )
    content, fingerprint = _read(path)
    with _explained(path):
        found = _READERS[suffix(path)](content, dialect)
    _check_names(path, found.names)

    def read(name: str) -> ColumnValues:
        with _explained(path):
            return found.read(name)

    return replace(found, read=read, fingerprint=fingerprint)


def as_written(path: str, dialect: Dialect, name: str, row: int) -> str | None:
    """What a CSV file holds in a column at a row, counted from 0; None for other files.

    Raises:
        InputError: at ``data.path``.
    """
    if suffix(path) != ".csv":
        return None
    content = read_bytes(path)
    with _explained(path):
        return csv_text(content, dialect, name)[row]


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns whatever a parser of foreign bytes raises into a fault of the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = "".join(letter if letter.isprintable() else " " for letter in masked(str(error)))
        reason = " ".join(text.split())[:_LONGEST_REASON]
        raise InputError.at(
            "data.path", f"{masked(path)} cannot be read as {suffix(path)[1:]}: {reason}"
        ) from error


def _check_names(path: str, names: Sequence[str]) -> None:
    if not names:
        raise InputError.at("data.path", f"{path} has no columns")
    twice = repeated(names)
    if "" in twice:
        reason = f"has {names.count('')} columns without a name: name them, or write it without an index"
        raise InputError.at("data.path", f"{masked(path)} {reason} (index=False)")
    if twice:
        reason = f"has more than one column of the same name ({listed(twice)}): name them apart"
        raise InputError.at("data.path", f"{masked(path)} {reason}")


def digest(path: str) -> str:
    """SHA-256 of a file's content, in hex; read again only when a local file has changed.

    Raises:
        InputError: at ``data.path``, the file cannot be read.
    """
    stamp, found = _digests.get(path, (None, ""))
    return found if found and stamp == _stamp(path) else _read(path)[1]


def _stamp(path: str) -> _Stamp:
    """What changes when a local file does, almost always; None for any other."""
    if is_uri(path) or not Path(path).is_file():
        return None
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _read(path: str) -> tuple[bytes, str]:
    """The content of a file, and its SHA-256, which ``digest`` knows from then on."""
    stamp, content = _stamp(path), read_bytes(path)
    found = hashlib.sha256(content).hexdigest()
    _digests[path] = stamp, found
    return content, found


def read_bytes(path: str) -> bytes:
    """The whole content of a local file or of a URI that pyarrow's file systems know.

    Raises:
        InputError: at ``data.path``.
    """
    try:
        return _read_uri(path) if is_uri(path) else content(path, memory_bytes())
    except FileNotFoundError:
        reason = "is not there"
    except IsADirectoryError:
        reason = "is a directory, must be a file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {masked(str(error))}"
    raise InputError.at("data.path", f"{masked(path)} {reason}")


def _read_uri(uri: str) -> bytes:
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(uri)
    if system.get_file_info(path).type == fs.FileType.Directory:
        raise IsADirectoryError
    with system.open_input_stream(path) as stream:
        return bytes(stream.read())


def _read_npz(content: bytes, dialect: Dialect) -> Columns:  # noqa: ARG001 - one signature for all
    if content.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError("it holds a bare array, must be an archive of named ones")
    if not content.startswith(_ZIP):
        raise ValueError("it is no archive of named arrays, as numpy.savez writes it")
    archive = np.load(io.BytesIO(content), allow_pickle=False)
    found = {name: _array(archive, name) for name in archive.files}
    odd = [f"{name!r} has shape {array.shape}" for name, array in found.items() if array.ndim not in (1, 2)]
    if odd:
        raise ValueError(f"{odd[0]}, must be [N] or [N, k]")
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the arrays differ in length: {lengths}")
    return Columns(tuple(found), found.__getitem__)


def _array(archive: Any, name: str) -> ColumnValues:
    """An array of an archive; what it calls so may also be some other file."""
    try:
        found = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(f"{name!r} holds Python objects, must hold numbers, booleans or text") from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{name!r} is no array")
    return found


_READERS: dict[str, Callable[[bytes, Dialect], Columns]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".npz": _read_npz,
}

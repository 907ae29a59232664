"""Reads the columns of Parquet, CSV and NPZ files."""

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
from orchestrator.config.files import read_regular_file
from orchestrator.data.arrow import Dialect, csv_text, read_csv, read_parquet
from orchestrator.data.columns import Columns, ColumnValues, listed, repeated
from orchestrator.errors import InputError
from orchestrator.process import memory_bytes

_LONGEST_REASON = 300
_ZIP = b"PK"

_Stamp = tuple[int, ...] | None
_digests: dict[str, tuple[_Stamp, str]] = {}
"""By path, the file's stamp and SHA-256 when it was last read."""


def suffix(path: str) -> str:
    """Returns the suffix of a file's name in lower case, which determines the format."""
    return PurePosixPath(urlsplit(path).path if is_uri(path) else path).suffix.lower()


def columns(path: str, dialect: Dialect) -> Columns:
    """Returns the columns of a file.

    Args:
        path: a local file or a URI, which ends in ``.parquet``, ``.csv`` or ``.npz``.
        dialect: the format of a CSV file; ignored for others.

    Raises:
        InputError: at ``data.path``, the file cannot be read, or columns share a name; at
            ``data.separator``, the separator is wrong.
    """
    if suffix(path) not in _READERS:
        raise InputError.at(
            "data.path", f"{masked(path)} ends in {suffix(path)!r} (legal: {', '.join(_READERS)})"
        )
    content, fingerprint = _read(path)
    with _errors_as_faults(path):
        parsed = _READERS[suffix(path)](content, dialect)
    _check_names(path, parsed.names)

    def read(name: str) -> ColumnValues:
        with _errors_as_faults(path):
            return parsed.read(name)

    return replace(parsed, read=read, fingerprint=fingerprint)


def as_written(path: str, dialect: Dialect, name: str, row: int) -> str | None:
    """Returns the text of a CSV file in a column at a row, counted from 0; None for other formats.

    Raises:
        InputError: at ``data.path``, the file cannot be read.
    """
    if suffix(path) != ".csv":
        return None
    content = read_bytes(path)
    with _errors_as_faults(path):
        return csv_text(content, dialect, name)[row]


@contextmanager
def _errors_as_faults(path: str) -> Iterator[None]:
    """Turns any exception of a parser into a fault of the file."""
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
    duplicates = repeated(names)
    if "" in duplicates:
        reason = (
            f"has {names.count('')} columns without a name: name them, or write the file without an index"
        )
        raise InputError.at("data.path", f"{masked(path)} {reason} (index=False)")
    if duplicates:
        reason = f"has more than one column of the same name ({listed(duplicates)}): rename them"
        raise InputError.at("data.path", f"{masked(path)} {reason}")


def digest(path: str) -> str:
    """Returns the SHA-256 of a file's content, in hex; a local file is read again only if it has changed.

    Raises:
        InputError: at ``data.path``, the file cannot be read.
    """
    stamp, known = _digests.get(path, (None, ""))
    return known if known and stamp == _stamp(path) else _read(path)[1]


def _stamp(path: str) -> _Stamp:
    """Returns times, size and inode of a local file, which almost always change with it; else None."""
    if is_uri(path) or not Path(path).is_file():
        return None
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _read(path: str) -> tuple[bytes, str]:
    """Returns the content of a file and its SHA-256, which is cached for ``digest``."""
    stamp, content = _stamp(path), read_bytes(path)
    fingerprint = hashlib.sha256(content).hexdigest()
    _digests[path] = stamp, fingerprint
    return content, fingerprint


def read_bytes(path: str) -> bytes:
    """Returns the whole content of a local file or of a URI that pyarrow's file systems know.

    Raises:
        InputError: at ``data.path``, the file cannot be read.
    """
    try:
        return _read_uri(path) if is_uri(path) else read_regular_file(path, memory_bytes())
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
        raise ValueError("it holds a single array, must be an archive of named arrays")
    if not content.startswith(_ZIP):
        raise ValueError("it is no archive of named arrays, as numpy.savez writes it")
    archive = np.load(io.BytesIO(content), allow_pickle=False)
    arrays = {name: _array(archive, name) for name in archive.files}
    bad = [f"{name!r} has shape {array.shape}" for name, array in arrays.items() if array.ndim not in (1, 2)]
    if bad:
        raise ValueError(f"{bad[0]}, must be [N] or [N, k]")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the arrays differ in length: {lengths}")
    return Columns(tuple(arrays), arrays.__getitem__)


def _array(archive: Any, name: str) -> ColumnValues:
    """Returns an array of an archive; the archive may also hold files that are no arrays."""
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(f"{name!r} holds Python objects, must hold numbers, booleans or text") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name!r} is not an array")
    return array


_READERS: dict[str, Callable[[bytes, Dialect], Columns]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".npz": _read_npz,
}

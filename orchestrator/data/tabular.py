"""Reading columns from the bytes of a Parquet, CSV or NPZ file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import InputError

Column = NDArray[Any]


def is_uri(path: str) -> bool:
    """Whether ``path`` names a file system (``s3://…``); anything else is a local path."""
    return "://" in path


def columns(path: str) -> Mapping[str, Column]:
    """The columns of a file by name: [N], or [N, k] for a matrix in an NPZ file.

    Numbers keep their type; missing ones are NaN. Text is an object array, with None where missing.

    Raises:
        InputError: at ``data.path``, the file cannot be read.
    """
    suffix = PurePosixPath(urlsplit(path).path if is_uri(path) else path).suffix.lower()
    if suffix not in _READERS:
        raise InputError.at("data.path", f"{path} ends in {suffix!r} (legal: {', '.join(_READERS)})")
    content = read_bytes(path)
    try:
        return _READERS[suffix](content)
    except Exception as error:  # parsers of foreign bytes raise whatever they like
        shown = "".join(letter if letter.isprintable() else " " for letter in str(error))
        reason = " ".join(shown.split())
        raise InputError.at("data.path", f"{path} cannot be read as {suffix[1:]}: {reason}") from error


def digest(path: str) -> str:
    """SHA-256 of a file's content, in hex; read again only when a local file has changed.

    Raises:
        InputError: at ``data.path``, the file cannot be read.
    """
    stamp = None
    if not is_uri(path) and Path(path).is_file():
        status = Path(path).stat()
        stamp = status.st_mtime_ns, status.st_size
    return _digest(path, stamp)


@lru_cache(maxsize=256)
def _digest(path: str, stamp: tuple[int, int] | None) -> str:  # noqa: ARG001 - a key of the cache
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_bytes(path: str) -> bytes:
    """The whole content of a local file or of a URI that pyarrow's file systems know.

    Raises:
        InputError: at ``data.path``.
    """
    try:
        return _read_uri(path) if is_uri(path) else Path(path).read_bytes()
    except FileNotFoundError:
        reason = "is not there"
    except IsADirectoryError:
        reason = "is a directory, must be a file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {error}"
    raise InputError.at("data.path", f"{path} {reason}")


def _read_uri(uri: str) -> bytes:
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(uri)
    if system.get_file_info(path).type == fs.FileType.Directory:
        raise IsADirectoryError
    with system.open_input_stream(path) as stream:
        return bytes(stream.read())


def _read_parquet(content: bytes) -> Mapping[str, Column]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return _from_arrow(pq.read_table(pa.BufferReader(content)))


def _read_csv(content: bytes) -> Mapping[str, Column]:
    import pyarrow as pa
    from pyarrow import csv

    missing_too = csv.ConvertOptions(strings_can_be_null=True)
    return _from_arrow(csv.read_csv(pa.BufferReader(content), convert_options=missing_too))


def _from_arrow(table: Any) -> Mapping[str, Column]:
    import pyarrow as pa

    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"column {twice[0]!r} is there twice")
    found = {}
    for name, column in zip(names, table.columns, strict=True):
        # decoded first: a missing entry of a dictionary would come out as one of its values
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        found[name] = plain.to_numpy()
    return found


def _read_npz(content: bytes) -> Mapping[str, Column]:
    archive = np.load(io.BytesIO(content), allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it holds a bare array, must be an archive of named ones")
    found = {name: archive[name] for name in archive.files}
    odd = [f"{name!r} has shape {array.shape}" for name, array in found.items() if array.ndim not in (1, 2)]
    if odd:
        raise ValueError(f"{odd[0]}, must be [N] or [N, k]")
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the arrays differ in length: {lengths}")
    return found


_READERS: dict[str, Callable[[bytes], Mapping[str, Column]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".npz": _read_npz,
}

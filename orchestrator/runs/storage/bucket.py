"""A run on an object store (Amazon S3 and compatible stores, Google Cloud, Azure), through pyarrow.

An object appears in full when its upload is completed, never in part. No rename is needed: the marker of a
commit is an object of its own, which is uploaded last.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from orchestrator.addresses import masked
from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import Fingerprint, Hold, Sink, explained
from orchestrator.runs.storage.claims import Claim, owner
from orchestrator.runs.storage.owner import Owner
from orchestrator.runs.storage.retries import retry, retrying_store

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
_S3_OPTIONS = ("endpoint_override", "region", "scheme")
_CHUNK_BYTES = 8 << 20
_READ_ATTEMPTS = 5
_CONNECT_S, _REQUEST_S, _ATTEMPTS, _GOOGLE_RETRY_S = 5, 60, 5, 60
"""Timeouts and retries of a store that does not answer: seconds, where clients would wait for minutes."""


@dataclass(frozen=True)
class Bucket:
    """A folder of an object store.

    Attributes:
        root: URI of the folder without options, for messages.
        filesystem: the store, a ``pyarrow.fs.FileSystem`` that retries failed requests.
        base: path of the folder in the store: bucket and prefix.
    """

    root: str
    filesystem: Any
    base: str

    @classmethod
    def at(cls, uri: str) -> Self:
        """Returns the folder at ``uri``, e.g. ``s3://bucket/runs/depth``. Reads nothing from it yet.

        Credentials come from the environment, or from wherever else the store's own tools find them.

        Raises:
            RunDirectoryError: ``uri`` is not the address of a folder of an object store.
        """
        parts = urlsplit(uri)
        root = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
        if parts.scheme not in SCHEMES:
            legal = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise RunDirectoryError(f"{root}: a run is kept in a local directory or on {legal}")
        if not parts.path.strip("/") or "//" in parts.path:
            example = f"{parts.scheme}://{parts.netloc}/runs/name"
            raise RunDirectoryError(f"{root}: a run needs a folder in the bucket, e.g. {example}")
        with explained(root, "check the address"):
            try:
                store, base = (_s3 if parts.scheme == "s3" else _from_uri)(uri)
                return cls(root, retrying_store(store), base)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise RunDirectoryError(f"{root}: {masked(str(error))}; check the address") from error

    def path(self, name: str) -> str:
        """Returns the URI of the object ``name``."""
        return f"{self.root}/{name}"

    def source(self, name: str) -> str:
        """Returns the path of the object ``name`` in the store."""
        return f"{self.base}/{name}".rstrip("/")

    def check_usable(self) -> None:
        """Does nothing: claiming the run shows whether the store accepts writes."""

    def cautions(self) -> list[str]:
        """Returns no warnings: permissions are up to the owner of the store."""
        return []

    def hold(self) -> Hold:
        """Takes hold of the run. Raises RunDirectoryError if another driver is alive; nothing was changed."""
        return Claim.acquire(self)

    def owner(self) -> Owner | None:
        """Returns the driver that is at work on the run; None if there is none."""
        return owner(self)

    def names(self, name: str = "") -> list[str]:
        """Lists the entries of the folder ``name``, sorted; none if there is no such folder."""
        return [info.base_name for info in self.entries(name)]

    def entries(self, name: str) -> list[Any]:
        """Lists entries like ``names``, as ``pyarrow.fs.FileInfo``; ``mtime`` is by the store's clock."""
        infos = self.filesystem.get_file_info(fs.FileSelector(self.source(name), allow_not_found=True))
        return sorted(infos, key=lambda info: str(info.base_name))

    def read(self, name: str) -> bytes | None:
        """Reads a small object; None if there is no such object.

        pyarrow requests the size first, then this number of bytes. If the object was replaced in between, it
        is read again.
        """
        for attempt in range(_READ_ATTEMPTS):
            try:
                with self.filesystem.open_input_stream(self.source(name)) as stream:
                    content = _rest_of(stream, last=attempt == _READ_ATTEMPTS - 1)
            except FileNotFoundError:
                return None
            if content is not None and len(content) == self.size(name):
                return content
        raise OSError(f"{self.path(name)} changes faster than it can be read")

    def size(self, name: str) -> int | None:
        """Returns the size of an object in bytes; None if there is no such object."""
        info = self.filesystem.get_file_info(self.source(name))
        return int(info.size) if info.type == fs.FileType.File else None

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Reads an object and returns its size and hash; None if there is no such object."""
        digest, size = hashlib.sha256(), 0
        try:
            with self.filesystem.open_input_stream(self.source(name)) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
        except FileNotFoundError:
            return None
        return Fingerprint(size, digest.hexdigest())

    def make(self) -> None:
        """Does nothing: a store creates folders with their objects."""

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        """Opens a new object for writing; the store has all of it when the block ends."""
        with Sink(_Upload(self.filesystem.open_output_stream(self.source(name)))) as sink:
            yield sink

    def replace(self, name: str, data: bytes) -> None:
        """Writes a small object in one upload: readers see the old content or the new, never a part."""
        retry(lambda: self._upload(name, data))

    def _upload(self, name: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(self.source(name)) as stream:
            stream.write(data)

    def delete(self, name: str) -> None:
        """Removes an object, or all objects of a folder, if they exist."""
        source = self.source(name)
        kind = self.filesystem.get_file_info(source).type
        try:
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(source)
            elif kind == fs.FileType.File:
                self.filesystem.delete_file(source)
        except FileNotFoundError:
            return  # removed in the meantime


class _Upload(io.RawIOBase):
    """An output stream of pyarrow as a raw Python file."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer, as in io
        copied = bytes(data)  # the caller reuses its buffer while the upload may still need the data
        self._stream.write(copied)
        return len(copied)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._stream.close()


def _rest_of(stream: Any, last: bool) -> bytes | None:
    """Reads the rest of a stream; None if a shorter object has replaced the one that was opened.

    Args:
        last: whether to raise the error instead.
    """
    try:
        return bytes(stream.read())
    except OSError:
        if last:
            raise
        return None


def _s3(uri: str) -> tuple[Any, str]:
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query))
    if unknown := options.keys() - set(_S3_OPTIONS):
        raise pa.ArrowInvalid(f"no option {sorted(unknown)[0]!r} (legal: {', '.join(_S3_OPTIONS)})")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options.setdefault("endpoint_override", endpoint or "")
    if not (options["endpoint_override"] or options.get("region") or _region_is_set()):
        options["region"] = fs.resolve_s3_region(parts.netloc)
    store = fs.S3FileSystem(
        **options,
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_delayed_open=True,  # an object of a few megabytes takes one request to upload instead of three
    )
    return store, parts.netloc + unquote(parts.path).rstrip("/")


def _region_is_set() -> bool:
    return any(os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))


def _from_uri(uri: str) -> tuple[Any, str]:
    google = urlsplit(uri).scheme in ("gs", "gcs") and "retry_limit_seconds" not in uri
    if google:
        uri += ("&" if "?" in uri else "?") + f"retry_limit_seconds={_GOOGLE_RETRY_S}"
    store, base = fs.FileSystem.from_uri(uri)
    return store, base.rstrip("/")

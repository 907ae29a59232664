"""Retries of requests to an object store: a single refusal, or a single "not found", may be wrong.

The store's own client retries writes, and requests that a busy server refused. But it does not notice a
refusal that arrives instead of a small object.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

Answer = TypeVar("Answer")

PAUSES_S = (0.1, 0.2, 0.4, 0.8)
"""Pauses before the second and each further attempt."""

_FINAL = re.compile("AWS Error (NETWORK_CONNECTION|NO_SUCH_BUCKET)")
"""Errors that are not retried: the client has tried to reach the store for seconds, or there is no bucket."""


def retry(request: Callable[[], Answer]) -> Answer:
    """Sends a request to a store and returns the answer; retries after a pause while the request fails.

    The second "not found" counts as the answer.

    Raises:
        OSError: the last attempt failed, too, or the error is final.
    """
    missing = False
    for pause in PAUSES_S:
        try:
            answer = request()
            if missing or not _is_missing(answer):
                return answer
            missing = True
        except OSError as error:
            if _FINAL.search(str(error)) or (missing and isinstance(error, FileNotFoundError)):
                raise
            missing = isinstance(error, FileNotFoundError)
        time.sleep(pause)
    return request()


def _is_missing(answer: object) -> bool:
    infos = answer if isinstance(answer, list) else [answer]
    return any(isinstance(info, fs.FileInfo) and info.type == fs.FileType.NotFound for info in infos)


def retrying_store(store: Any) -> Any:
    """Returns ``store`` as a ``pyarrow.fs.FileSystem`` that retries its requests, also inside pyarrow."""
    return fs.PyFileSystem(_RetryingStore(store))


class _RetryingStore(fs.FileSystemHandler):
    """Forwards operations to a store, most of them with retries. Data written to a stream is not retried."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _RetryingStore) and self._store == other._store

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        return str(self._store.type_name)

    def normalize_path(self, path: str) -> str:
        return str(self._store.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[Any]:
        return retry(lambda: list(self._store.get_file_info(paths)))

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        return retry(lambda: list(self._store.get_file_info(selector)))

    def create_dir(self, path: str, recursive: bool) -> None:
        retry(lambda: self._store.create_dir(path, recursive=recursive))

    def delete_dir(self, path: str) -> None:
        retry(lambda: self._store.delete_dir(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        retry(lambda: self._store.delete_dir_contents(path, missing_dir_ok=missing_dir_ok))

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("a run is never the whole store")

    def delete_file(self, path: str) -> None:
        retry(lambda: self._store.delete_file(path))

    def move(self, src: str, dest: str) -> None:
        self._store.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        self._store.copy_file(src, dest)

    def open_input_stream(self, path: str) -> Any:
        return pa.PythonFile(_RetryingFile(retry(lambda: self._store.open_input_file(path))), mode="r")

    def open_input_file(self, path: str) -> Any:
        return pa.PythonFile(_RetryingFile(retry(lambda: self._store.open_input_file(path))), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return retry(lambda: self._store.open_output_stream(path, metadata=metadata))

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        return self._store.open_append_stream(path, metadata=metadata)


class _RetryingFile(io.RawIOBase):
    """An object that is read in pieces, with retries for each piece."""

    def __init__(self, source: Any) -> None:
        self._source, self._size, self._position = source, source.size(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        length = self._size - self._position if size < 0 else min(size, self._size - self._position)
        if length <= 0:
            return b""
        content = retry(lambda: self._source.read_at(length, self._position))
        self._position += len(content)
        return bytes(content)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.close()

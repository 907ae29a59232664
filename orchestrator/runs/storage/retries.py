"""Asking an object store again: a single refusal, or a single "not found", is not believed.

Writes are retried by the store's own client, and so is what a server was too busy to answer, as far as that
client sees it: not what comes in the place of a small object.
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
"""Before each of the further attempts."""

_FINAL = re.compile("AWS Error (NETWORK_CONNECTION|NO_SUCH_BUCKET)")
"""Of a store that cannot be reached, which its client has tried for some seconds, or of none at all."""


def again(ask: Callable[[], Answer]) -> Answer:
    """What a store answers, asked anew after a pause while it fails; "not found" counts the second time.

    Raises:
        OSError: it still fails.
    """
    missing = False
    for pause in PAUSES_S:
        try:
            answer = ask()
            if missing or not _is_missing(answer):
                return answer
            missing = True
        except OSError as error:
            if _FINAL.search(str(error)) or (missing and isinstance(error, FileNotFoundError)):
                raise
            missing = isinstance(error, FileNotFoundError)
        time.sleep(pause)
    return ask()


def _is_missing(answer: object) -> bool:
    infos = answer if isinstance(answer, list) else [answer]
    return any(isinstance(info, fs.FileInfo) and info.type == fs.FileType.NotFound for info in infos)


def patient(store: Any) -> Any:
    """The same store as a ``pyarrow.fs.FileSystem`` that asks again, wherever it is handed on to."""
    return fs.PyFileSystem(_Patient(store))


class _Patient(fs.FileSystemHandler):
    """Passes everything on. Streams that are written go to the store itself."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Patient) and self._store == other._store

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        return str(self._store.type_name)

    def normalize_path(self, path: str) -> str:
        return str(self._store.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[Any]:
        return again(lambda: list(self._store.get_file_info(paths)))

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        return again(lambda: list(self._store.get_file_info(selector)))

    def create_dir(self, path: str, recursive: bool) -> None:
        again(lambda: self._store.create_dir(path, recursive=recursive))

    def delete_dir(self, path: str) -> None:
        again(lambda: self._store.delete_dir(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        again(lambda: self._store.delete_dir_contents(path, missing_dir_ok=missing_dir_ok))

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("a run is never the whole store")

    def delete_file(self, path: str) -> None:
        again(lambda: self._store.delete_file(path))

    def move(self, src: str, dest: str) -> None:
        self._store.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        self._store.copy_file(src, dest)

    def open_input_stream(self, path: str) -> Any:
        return pa.PythonFile(_Reading(again(lambda: self._store.open_input_file(path))), mode="r")

    def open_input_file(self, path: str) -> Any:
        return pa.PythonFile(_Reading(again(lambda: self._store.open_input_file(path))), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return again(lambda: self._store.open_output_stream(path, metadata=metadata))

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        return self._store.open_append_stream(path, metadata=metadata)


class _Reading(io.RawIOBase):
    """An object that is read piece by piece, each of them asked for again if need be."""

    def __init__(self, source: Any) -> None:
        self._source, self._size, self._place = source, source.size(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._place if size < 0 else min(size, self._size - self._place)
        if wanted <= 0:
            return b""
        content = again(lambda: self._source.read_at(wanted, self._place))
        self._place += len(content)
        return bytes(content)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.close()

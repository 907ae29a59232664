"""Data files with damage or with odd content: CSV, Parquet and NPZ; seeded."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

ROWS = 24
_ODD = (
    "",
    " ",
    "nan",
    "NA",
    "inf",
    "-inf",
    "1e400",
    "1e-400",
    "1e308",
    "-1e308",
    "9" * 25,
    "9" * 5000,
    "0x1F",
)
_ODDER = (
    '"',
    '""',
    '"a\nb"',
    "\0",
    "\x1b[31m",
    "é",
    "1,5",
    "1;5",
    "true",
    "2024-01-01",
    "12:30",
    "\t",
    "\r",
    "a" * 70_000,
)
CELLS = (*_ODD, *_ODDER)

_TYPES: tuple[Any, ...] = (
    *(
        pa.int8(),
        pa.uint64(),
        pa.int64(),
        pa.float16(),
        pa.float32(),
        pa.bool_(),
        pa.string(),
        pa.large_string(),
    ),
    *(pa.binary(), pa.date32(), pa.timestamp("ns"), pa.time64("us"), pa.duration("s"), pa.decimal128(20, 3)),
    *(
        pa.decimal256(60, 0),
        pa.null(),
        pa.list_(pa.float64()),
        pa.list_(pa.int8(), 2),
        pa.struct([("a", pa.int8())]),
    ),
    *(
        pa.map_(pa.string(), pa.int8()),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int8(), pa.float64()),
    ),
)
_DTYPES = ("f2", "f4", "f8", "g", "i1", "u8", "i8", "b1", "c16", "U3", "S3", "M8[s]", "m8[s]", "O", "V4")
_SHAPES = ((ROWS,), (ROWS, 2), (ROWS, 0), (ROWS, 1), (ROWS, 2, 2), (), (0,), (0, 3), (ROWS - 1,), (ROWS, 300))
_NAMES = (
    "y",
    "",
    " ",
    "x",
    "X.0",
    "a/b",
    "θ",
    "\x1b[31m",
    "a" * 300,
    "__index_level_0__",
    "index",
    "x\ny",
    "0",
)


def fuzzed(seed: int) -> tuple[str, bytes]:
    """The suffix of a file's name, and its content; the same for the same seed."""
    chance = random.Random(seed)
    suffix, made = chance.choice(((".csv", _csv), (".parquet", _parquet), (".npz", _npz)))
    content = made(chance)
    for _ in range(chance.choice((0, 0, 0, 1, 1, 3, 20))):
        content = chance.choice(_DAMAGES)(content, chance)
    return suffix, content


def _csv(chance: random.Random) -> bytes:
    table = [["x", "z", "y"], *([f"{k / 7:.3f}", str(k % 5), "ab"[k % 2]] for k in range(ROWS))]
    for _ in range(chance.choice((0, 0, 1, 2, 10))):
        row = chance.choice(table)
        row[chance.randrange(len(row))] = chance.choice(CELLS)
    if chance.random() < 0.2:
        column, cell = chance.randrange(3), chance.choice(CELLS)
        for row in table[1:]:
            row[column] = cell
    if chance.random() < 0.2:
        chance.choice(table).append("more")
    if chance.random() < 0.1:
        table = table[: chance.randrange(3)]
    end = chance.choice(("\n", "\n", "\r\n", "\r"))
    separator = chance.choice((",", ",", ",", ";", "\t"))
    return end.join(separator.join(row) for row in table).encode(
        chance.choice(("utf-8", "utf-8", "utf-16", "latin-1")), "replace"
    )


def _parquet(chance: random.Random) -> bytes:
    columns: dict[str, Any] = {
        "x": pa.array(np.arange(ROWS) / 7),
        "y": pa.array(["ab"[k % 2] for k in range(ROWS)]),
    }
    for _ in range(chance.choice((0, 1, 1, 2))):
        columns[chance.choice(_NAMES)] = _column(chance.choice(_TYPES), chance)
    if chance.random() < 0.1:
        columns.clear()
    table = pa.table(columns)
    if chance.random() < 0.1:
        table = table.slice(0, chance.choice((0, 1, 2)))
    metadata = chance.choice(
        (
            None,
            None,
            b"",
            b"[]",
            b"{",
            b'{"index_columns": 3}',
            b'{"index_columns": [["x"]]}',
            b'{"index_columns": ["x"]}',
        )
    )
    if metadata is not None:
        table = table.replace_schema_metadata({b"pandas": metadata})
    pq.write_table(table, sink := io.BytesIO(), compression=chance.choice(("none", "snappy", "zstd", "gzip")))
    return sink.getvalue()


def _column(kind: Any, chance: random.Random) -> Any:
    """A column of an Arrow type: all values missing, some missing, or zeros and ones if possible."""
    cells: list[Any] = [None] * ROWS
    try:
        if chance.random() < 0.7:
            base = pa.array([k % 2 for k in range(ROWS)])
            return (
                base if not pa.types.is_dictionary(kind) else base.cast(kind.value_type).dictionary_encode()
            ).cast(kind)
        cells[0] = pa.array([1]).cast(kind)[0].as_py()
        return pa.array(cells, kind)
    except (pa.ArrowException, ValueError, TypeError):
        values = {"list": [1, 0], "struct": {"a": 1}, "map": [("a", 1)]}
        named = next((value for name, value in values.items() if name in str(kind)), None)
        return pa.array([named if k % 2 or named is None else None for k in range(ROWS)], kind)


def _npz(chance: random.Random) -> bytes:
    arrays: dict[str, Any] = {"X": np.arange(2.0 * ROWS).reshape(ROWS, 2), "y": np.arange(ROWS) % 2}
    for _ in range(chance.choice((0, 1, 1, 2))):
        name = chance.choice(("X", *_NAMES))
        arrays[name] = _array(chance.choice(_DTYPES), chance.choice(_SHAPES), chance)
    if chance.random() < 0.1:
        arrays.clear()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, array in arrays.items():
            np.save(part := io.BytesIO(), array, allow_pickle=True)
            text = part.getvalue()
            if chance.random() < 0.1:
                text = chance.choice(
                    (b"", b"\x93NUMPY", b"no array", text[:60], text.replace(b"24", b"99999999"))
                )
            archive.writestr(name + chance.choice((".npy", ".npy", ".npy", ".txt")), text)
    return sink.getvalue()


def _array(dtype: str, shape: tuple[int, ...], chance: random.Random) -> Any:
    count = int(np.prod(shape))
    values = np.array([k % 2 for k in range(count)])
    array = values.reshape(shape).astype(dtype if dtype != "V4" else "i4")
    if array.dtype.kind in "fg" and count and chance.random() < 0.5:
        array.flat[chance.randrange(count)] = chance.choice(
            (np.inf, -np.inf, np.nan, np.finfo(array.dtype).max)
        )
    return array.view("V4") if dtype == "V4" and array.ndim else array


def _flipped(content: bytes, chance: random.Random) -> bytes:
    index = chance.randrange(max(1, len(content)))
    return content[:index] + bytes([chance.randrange(256)]) + content[index + 1 :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _dropped(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[start + chance.choice((1, 4, 100)) :]


def _doubled(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[max(0, start - chance.choice((1, 4, 100))) :]


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flipped,
    _flipped,
    _flipped,
    _cut,
    _dropped,
    _doubled,
)

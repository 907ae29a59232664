"""Markers: small JSON files with the SHA-256 of their own content, so that any damage is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

HASH = "sha256"
"""Key of the hash of all other fields."""


class DamagedMarkerError(ValueError):
    """A marker differs from what was written."""


def dump(fields: dict[str, Any]) -> bytes:
    """Returns the content of a marker.

    Args:
        fields: the fields of the marker, with JSON values; none is named ``sha256``.
    """
    digest = hashlib.sha256(_encode(fields)).hexdigest()
    return _encode({**fields, HASH: digest})


def parse(content: bytes) -> tuple[dict[str, Any], bool]:
    """Returns the fields of a marker without its hash, and whether it has a hash.

    A marker with a hash is intact if dumping its fields gives the same bytes again.

    Raises:
        DamagedMarkerError: the marker is not a JSON object, or its hash does not match.
    """
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise DamagedMarkerError("not JSON") from None
    if not isinstance(fields, dict):
        raise DamagedMarkerError("not a JSON object")
    if HASH not in fields:
        return fields, False
    del fields[HASH]
    if content != dump(fields):
        raise DamagedMarkerError("its hash does not match")
    return fields, True


def _encode(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

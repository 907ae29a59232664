"""Small JSON files that carry the SHA-256 of their own content, so that no bit of them is lost unnoticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

HASH = "sha256"
"""The key under which a marker keeps the hash of all the rest."""


class DamagedMarkerError(ValueError):
    """A marker that is not what was written."""


def dump(fields: dict[str, Any]) -> bytes:
    """The content of a marker.

    Args:
        fields: what it says, as JSON takes it; none of them is called ``sha256``.
    """
    digest = hashlib.sha256(_text(fields)).hexdigest()
    return _text({**fields, HASH: digest})


def parse(content: bytes) -> tuple[dict[str, Any], bool]:
    """What a marker says, without its hash, and whether it carries one.

    A marker is what it was if dumping what it says gives the same bytes again.

    Raises:
        DamagedMarkerError: it is no JSON object, or its hash is another one.
    """
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise DamagedMarkerError("no JSON") from None
    if not isinstance(fields, dict):
        raise DamagedMarkerError("no JSON object")
    if HASH not in fields:
        return fields, False
    del fields[HASH]
    if content != dump(fields):
        raise DamagedMarkerError("its hash is another one")
    return fields, True


def _text(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

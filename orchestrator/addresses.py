"""Addresses of runs, data and clusters: which part of one is a secret, and how it is shown.

A secret in an address would be printed, kept in runs and sent to Ray, so none is taken. What has to be said
of one that was refused, or that a foreign library repeats, goes through ``masked``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

HARMLESS = frozenset(
    """
    scheme region endpoint_override allow_bucket_creation allow_bucket_deletion allow_delayed_open
    smart_defaults tls_ca_file_path tls_ca_dir_path tls_verify_certificates
    location project_id retry_limit_seconds
    blob_storage_authority blob_storage_scheme dfs_storage_authority dfs_storage_scheme enable_tls
    background_writes credential_kind tenant_id client_id
    replication buffer_size default_block_size kerb_ticket
    """.split()  # noqa: SIM905
)
"""Parameters that may be shown: those of Arrow's file systems, without secrets. S3, Google, Azure, others."""

_SECRET = re.compile(
    r"key|secret|token|passw|pwd|credential|signature|^(sig|sas|auth|authorization)$", re.IGNORECASE
)
_URI = re.compile(
    r"((?:[A-Za-z][A-Za-z0-9+.-]{0,40}|[0-9+.-]{1,41})(?=://)|(?:s3|gs|gcs|abfss?)(?=:/)):/{1,2}([^/?#\s]*)(\S*)",
    re.IGNORECASE,
)
"""Scheme, authority and the rest; a path of Python's has lost one of the two slashes.

Of a scheme, the last 41 characters: without a bound, a long word takes time by the square of its length.
"""

_WORD = re.compile(r"\S+")
_MOST_NESTED = 20
"""Addresses in one another, e.g. as values of parameters; a word with more is no address."""

_PART = re.compile(r"([?&#;])([^=&#;?\s]+)(?:=([^&#;\s]*))?")
_HOST = re.compile(r"(\[[^\]]*\]|[^:@\[]*)(:\d*)?[^\w@]*")
"""Host and port; text may go on with a comma or a quote."""

_CONTAINERS = ("abfs", "abfss", "hdfs", "viewfs")
"""Schemes in which a name before @ is that of a container or an account."""

_NO_PORTS = ("s3", "gs", "gcs", "abfs", "abfss")
_INSTEAD = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN, if there is one)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "abfss": "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
}
_OTHERS = "the variables from which its own tools take it"
RAY_TOKEN_VARIABLE = "RAY_AUTH_TOKEN"
"""Where the secret of a Ray cluster belongs."""


def is_uri(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is an address rather than a local path."""
    return "://" in os.fspath(path)


def masked(text: str) -> str:
    """``text`` with ``***`` for whatever is, or may be, a secret in an address that it names.

    Of an address these are what stands before ``@`` and the parameters that are not in ``HARMLESS``;
    elsewhere, parameters that are called like a secret.

    Example:
        >>> masked("cannot read s3://me:mine@bucket/x?region=eu&secret_key=K; check it")
        'cannot read s3://***@bucket/x?region=eu&secret_key=***; check it'
    """
    return _PART.sub(_called_secret, _URI.sub(_uri, _WORD.sub(_without_nests, text)))


def _without_nests(word: re.Match[str]) -> str:
    return "***" if word[0].count(":/") > _MOST_NESTED else word[0]


def refusal(address: str | os.PathLike[str], instead: str = "") -> str:
    """Why ``address`` is not taken, and what to do; "" if it holds no secret.

    Args:
        address: of a run, of data or of a cluster; a URI or a path.
        instead: the environment variables that the secret belongs into; by default those of its scheme.

    Example:
        >>> refusal("gs://bucket/x?access_token=K")
        'must not hold a secret (access_token); addresses are shown: set GOOGLE_APPLICATION_CREDENTIALS'
        >>> refusal("s3://bucket/x?region=eu-west-1")
        ''
    """
    text = os.fspath(address)
    if not (found := ", ".join(dict.fromkeys(_secrets(text)))):
        return ""
    uri = _URI.search(text)
    variables = instead or _INSTEAD.get(uri[1].lower() if uri else "", _OTHERS)
    return f"must not hold a secret ({found}); addresses are shown: set {variables}"


def bare(address: str | os.PathLike[str]) -> str:
    """An address without parameters and credentials: what a refusal calls it.

    Example:
        >>> bare("s3://me:mine@bucket/x?region=eu")
        's3://***@bucket/x'
    """
    return masked(re.split(r"[?#\s]", os.fspath(address), maxsplit=1)[0])


def _secrets(address: str) -> Iterator[str]:
    """What is secret in an address: names of parameters, or where it stands."""
    for scheme, authority, rest in _URI.findall(address):
        if _has_credentials(scheme, authority, rest):
            yield "before @" if "@" in address else "in the place of a host"
    for part in _PART.finditer(address[_query_at(address) :]):
        name, value = unquote(part[2]), part[3]
        if "@" in unquote(value or "") if name in HARMLESS else _SECRET.search(name):
            yield name
        elif name not in HARMLESS and _is_nameless(part) and is_uri(address):
            yield "a parameter without a name"


def _is_nameless(part: re.Match[str]) -> bool:
    return part[3] is None and part[1] != "#"


def _query_at(address: str) -> int:
    found = re.search(r"[?#]", address)
    return found.start() if found else len(address)


def _has_credentials(scheme: str, authority: str, rest: str) -> bool:
    """Whether there are credentials before ``@``, be it that a slash in a key has cut the authority short."""
    user, at, _ = authority.rpartition("@")
    if at:
        return ":" in user or not (user in ("", "anonymous") or scheme.lower() in _CONTAINERS)
    cut = scheme.lower() in _NO_PORTS and ":" in authority and "@" in rest
    return cut or not _HOST.fullmatch(authority)


def _uri(found: re.Match[str]) -> str:
    scheme, authority, rest = found.groups()
    if _has_credentials(scheme, authority, rest):
        if "@" not in authority:
            return f"{scheme}://***"
        authority = f"***@{authority.rpartition('@')[2]}"
    at = _query_at(rest)
    path, query = rest[:at], _PART.sub(_not_harmless, _URI.sub(_uri, rest[at:]))
    return f"{scheme}://{authority}{_URI.sub(_uri, path)}{query}"


def _not_harmless(part: re.Match[str]) -> str:
    separator, name, value = part.groups()
    if unquote(name) in HARMLESS and "@" not in unquote(value or ""):
        return part[0]
    if value is None:
        return f"{separator}***" if _is_nameless(part) else part[0]
    return f"{separator}{name}=***"


def _called_secret(part: re.Match[str]) -> str:
    separator, name, value = part.groups()
    secret = value is not None and unquote(name) not in HARMLESS and _SECRET.search(unquote(name))
    return f"{separator}{name}=***" if secret else part[0]

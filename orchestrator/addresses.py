"""Addresses of runs, data and clusters: which parts are secret, and how messages show them.

A secret in an address would be printed, stored in runs and sent to Ray, so such an address is refused.
Messages that quote a refused address, and messages of foreign libraries, go through ``masked``.
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
"""Parameters that may be printed: Arrow's for S3, Google, Azure and other file systems, except secrets."""

_SECRET = re.compile(
    r"key|secret|token|passw|pwd|credential|signature|^(sig|sas|auth|authorization)$", re.IGNORECASE
)
_URI = re.compile(
    r"((?:[A-Za-z][A-Za-z0-9+.-]{0,40}|[0-9+.-]{1,41})(?=://)|(?:s3|gs|gcs|abfss?)(?=:/)):/{1,2}([^/?#\s]*)(\S*)",
    re.IGNORECASE,
)
"""Scheme, authority and rest of a URI; ``pathlib`` drops one of its two slashes.

Only the last 41 characters of a scheme are matched: without a bound, a long word takes quadratic time.
"""

_WORD = re.compile(r"\S+")
_MOST_NESTED = 20
"""Addresses nested in one another, e.g. as values of parameters; a word with more is masked as a whole."""

_PARAMETER = re.compile(r"([?&#;])([^=&#;?\s]+)(?:=([^&#;\s]*))?")
_HOST = re.compile(r"(\[[^\]]*\]|[^:@\[]*)(:\d*)?[^\w@]*")
"""Host and port; a comma or a quote of the text may follow."""

_CONTAINER_SCHEMES = ("abfs", "abfss", "hdfs", "viewfs")
"""Schemes in which the name before @ is a container or an account, not a user."""

_PORTLESS_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN, if there is one)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "abfss": "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
}
_OTHER_VARIABLES = "the environment variables that its own tools read"
RAY_TOKEN_VARIABLE = "RAY_AUTH_TOKEN"
"""The environment variable that holds the token of a Ray cluster."""


def is_uri(path: str | os.PathLike[str]) -> bool:
    """Returns whether ``path`` is a URI rather than a local path."""
    return "://" in os.fspath(path)


def masked(text: str) -> str:
    """Returns ``text`` with ``***`` for everything that is, or may be, a secret of an address.

    In an address, these are the text before ``@`` and the parameters that are not in ``HARMLESS``.
    Elsewhere, these are parameters whose names look like a secret's.

    Example:
        >>> masked("cannot read s3://me:mine@bucket/x?region=eu&secret_key=K; check it")
        'cannot read s3://***@bucket/x?region=eu&secret_key=***; check it'
    """
    return _PARAMETER.sub(_masked_if_secret, _URI.sub(_masked_uri, _WORD.sub(_masked_if_nested, text)))


def _masked_if_nested(word: re.Match[str]) -> str:
    return "***" if word[0].count(":/") > _MOST_NESTED else word[0]


def refusal(address: str | os.PathLike[str], variables: str = "") -> str:
    """Returns why ``address`` is refused, and what to do; "" if it holds no secret.

    Args:
        address: URI or path of a run, of data or of a cluster.
        variables: the environment variables that should hold the secret; by default those of its scheme.

    Example:
        >>> refusal("gs://bucket/x?access_token=K")
        'must not hold a secret (access_token), as addresses are printed: set GOOGLE_APPLICATION_CREDENTIALS'
        >>> refusal("s3://bucket/x?region=eu-west-1")
        ''
    """
    text = os.fspath(address)
    if not (secrets := ", ".join(dict.fromkeys(_secrets(text)))):
        return ""
    uri = _URI.search(text)
    variables = variables or _VARIABLES.get(uri[1].lower() if uri else "", _OTHER_VARIABLES)
    return f"must not hold a secret ({secrets}), as addresses are printed: set {variables}"


def bare(address: str | os.PathLike[str]) -> str:
    """Returns an address without parameters and credentials, for messages about a refused one.

    Example:
        >>> bare("s3://me:mine@bucket/x?region=eu")
        's3://***@bucket/x'
    """
    return masked(re.split(r"[?#\s]", os.fspath(address), maxsplit=1)[0])


def _secrets(address: str) -> Iterator[str]:
    """Yields the name, or the position, of each secret in an address."""
    for scheme, authority, rest in _URI.findall(address):
        if _has_credentials(scheme, authority, rest):
            yield "before @" if "@" in address else "in the host part"
    for part in _PARAMETER.finditer(address[_query_start(address) :]):
        name, value = unquote(part[2]), part[3]
        if "@" in unquote(value or "") if name in HARMLESS else _SECRET.search(name):
            yield name
        elif name not in HARMLESS and _is_nameless(part) and is_uri(address):
            yield "a parameter without a name"


def _is_nameless(part: re.Match[str]) -> bool:
    return part[3] is None and part[1] != "#"


def _query_start(address: str) -> int:
    found = re.search(r"[?#]", address)
    return found.start() if found else len(address)


def _has_credentials(scheme: str, authority: str, rest: str) -> bool:
    """Returns whether there are credentials before ``@``, also where a slash in a key ends the authority."""
    user, at, _ = authority.rpartition("@")
    if at:
        return ":" in user or not (user in ("", "anonymous") or scheme.lower() in _CONTAINER_SCHEMES)
    cut = scheme.lower() in _PORTLESS_SCHEMES and ":" in authority and "@" in rest
    return cut or not _HOST.fullmatch(authority)


def _masked_uri(found: re.Match[str]) -> str:
    scheme, authority, rest = found.groups()
    if _has_credentials(scheme, authority, rest):
        if "@" not in authority:
            return f"{scheme}://***"
        authority = f"***@{authority.rpartition('@')[2]}"
    at = _query_start(rest)
    path, query = rest[:at], _PARAMETER.sub(_masked_unless_harmless, _URI.sub(_masked_uri, rest[at:]))
    return f"{scheme}://{authority}{_URI.sub(_masked_uri, path)}{query}"


def _masked_unless_harmless(part: re.Match[str]) -> str:
    separator, name, value = part.groups()
    if unquote(name) in HARMLESS and "@" not in unquote(value or ""):
        return part[0]
    if value is None:
        return f"{separator}***" if _is_nameless(part) else part[0]
    return f"{separator}{name}=***"


def _masked_if_secret(part: re.Match[str]) -> str:
    separator, name, value = part.groups()
    secret = value is not None and unquote(name) not in HARMLESS and _SECRET.search(unquote(name))
    return f"{separator}{name}=***" if secret else part[0]

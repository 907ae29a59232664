"""An S3 server on loopback: that of moto, with a gate that injects faults and kills drivers."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest

BUCKET = "bucket"
DENIED = "nobody"
"""Access key of a user without any permission."""


def mortal(point: int) -> str:
    """Returns an access key for this process: the server kills the process at its change number ``point``."""
    return f"driver.{os.getpid()}.{point}"


def faulty(status: int, every: int) -> str:
    """Returns an access key with faults: every ``every``-th request is answered with ``status``.

    403 and 404 are for reads only, as clients do not retry refused writes. 500 alternates with 503.
    """
    return f"faulty.{status}.{every}"


_FAULTS = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


class Door:
    """Forwards requests to the store, injects faults, and kills drivers.

    Changes are uploads and deletions, counted from 0. At an even number the driver is killed before the store
    gets the request, at an odd number after the store has executed it.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app  # seconds, for few tests

        self._store = DomainDispatcherApplication(create_backend_app)
        self._changes: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        key = found[1] if found else ""
        if key == DENIED:
            return self._denied(start_response)
        if key.startswith("faulty.") and (status := self._fault(key, environ["REQUEST_METHOD"])):
            return self._failed(status, environ["REQUEST_METHOD"], start_response)
        if environ["REQUEST_METHOD"] == "GET" or environ["REQUEST_METHOD"] == "HEAD":
            return self._store(environ, start_response)
        change = self._changes[key]
        self._changes[key] += 1
        if not key.endswith(f".{change}"):
            return self._store(environ, start_response)
        return self._last(int(key.split(".")[1]), change, environ, start_response)

    def _last(self, pid: int, change: int, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if change % 2 == 0:
            os.kill(pid, signal.SIGKILL)
            return self._denied(start_response)
        answer = list(self._store(environ, start_response))
        os.kill(pid, signal.SIGKILL)
        return answer

    def _fault(self, key: str, method: str) -> int:
        """Returns the status with which this request fails; 0: it does not fail."""
        status, every = map(int, key.split(".")[1:])
        if status < 500 and method not in ("GET", "HEAD"):
            return 0
        self._requests[key] += 1
        fault, rest = divmod(self._requests[key], every)
        return 0 if rest else 503 if status == 500 and fault % 2 else status

    @staticmethod
    def _failed(status: int, method: str, start_response: Any) -> Iterable[bytes]:
        start_response(f"{status} Fault", [("Content-Type", "application/xml")])
        content = f"<Error><Code>{_FAULTS[status]}</Code><Message>Try again</Message></Error>"
        return [] if method == "HEAD" else [content.encode()]

    @staticmethod
    def _denied(start_response: Any) -> Iterable[bytes]:
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]


@contextmanager
def served() -> Iterator[str]:
    """Serves a store with an empty bucket ``BUCKET``; yields its address."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, Door(), threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        urlopen(Request(f"{url}/{BUCKET}", method="PUT")).close()
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(url: str) -> dict[str, str]:
    """Returns the environment variables that a user of the store sets."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "do-not-tell",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="session")
def store_url() -> Iterator[str]:
    """Address of one store for all tests."""
    with served() as url:
        yield url


@pytest.fixture
def bucket(store_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """URI of a separate folder for each test; the environment has the address of the store."""
    for name, value in environment(store_url).items():
        monkeypatch.setenv(name, value)
    name = re.sub(r"\W+", "-", request.node.name)
    return f"s3://{BUCKET}/{name}"

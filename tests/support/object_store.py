"""An S3 server on loopback: moto's, with a hand on its door."""

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
"""Access key of somebody who may do nothing."""


def mortal(point: int) -> str:
    """An access key: whoever uses it, a process of this number, dies at its change number ``point``."""
    return f"driver.{os.getpid()}.{point}"


def faulty(status: int, every: int) -> str:
    """An access key: of its user's requests each ``every``-th is answered with ``status``.

    403 and 404 come to what only reads: what is refused to be written is so for good. 500 and 503 take turns.
    """
    return f"faulty.{status}.{every}"


_FAULTS = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


class Door:
    """Passes requests on to the store. Kills a driver when its time has come.

    Changes are uploads and deletions, counted from 0. At an even number the driver dies before the store
    hears of it, at an odd one after it has obeyed.
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
        """How this request is to fail; 0: it is not."""
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
    """The address of a store with an empty bucket ``BUCKET``."""
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
    """What a user of the store sets."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "do-not-tell",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="session")
def store_url() -> Iterator[str]:
    """One store for all tests."""
    with served() as url:
        yield url


@pytest.fixture
def bucket(store_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """URI of a folder of its own for each test; the environment leads to the store."""
    for name, value in environment(store_url).items():
        monkeypatch.setenv(name, value)
    name = re.sub(r"\W+", "-", request.node.name)
    return f"s3://{BUCKET}/{name}"

"""Finding the dashboard of a Ray cluster, which offers the Jobs API, from whatever address there is."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from contextlib import suppress
from urllib.parse import urlsplit

import ray
from ray._private.utils import read_ray_address
from ray.exceptions import AuthenticationError

from orchestrator.addresses import RAY_TOKEN_VARIABLE, bare, refusal
from orchestrator.errors import FleetError
from orchestrator.fleet.cluster import TOKEN_WANTED, one_line

_CONNECT_S = 5.0


def cluster_address(address: str | None) -> str:
    """The address that was given, or the one to be found here."""
    given = None if address == "auto" else address
    there = os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS")
    found = given or (None if there == "auto" else there) or read_ray_address()
    if not found:
        raise FleetError(
            "no Ray cluster runs here; start one (`ray start --head`), or name one with --address"
        )
    if reason := refusal(found, RAY_TOKEN_VARIABLE):
        raise FleetError(f"{bare(found)}: {reason}")
    return found


def dashboard(address: str) -> str:
    """The URL of the dashboard of the cluster at ``address``, which answers and is one."""
    url = address.rstrip("/") if "://" in address else f"http://{address}"
    if not _is_web(url):
        raise FleetError(f"{address} is no address of a dashboard, which looks like http://HEAD:8265")
    try:
        session = _session(url)
    except http.client.HTTPException:  # something answers, but not as the web does
        if "://" not in address:
            return _told_by_gcs(address)
        session = None
    except (OSError, ValueError) as error:
        raise FleetError(f"no Ray cluster at {address}: {reason(error)}; correct --address") from None
    if session is None:
        raise FleetError(
            f"what is at {address} answers, but is no Jobs API of Ray; "
            "name the dashboard of a cluster, http://HEAD:8265"
        )
    return url


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:  # a bracket that is not closed, and other things that are no URL
        return False


def _session(url: str) -> str | None:
    """The session whose dashboard answers; "" if it does not tell without a token, None if it is none."""
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=_CONNECT_S) as answer:
            return str(json.load(answer)["session_name"])
    except urllib.error.HTTPError as error:
        with error:
            return "" if error.code in (401, 403) else None
    except (KeyError, TypeError, json.JSONDecodeError):
        return None


def _told_by_gcs(address: str) -> str:
    """The dashboard that the control service at host:port knows, if it is there and its own."""
    try:
        client = ray._raylet.GcsClient(address=address)
        place = client.internal_kv_get(b"dashboard", b"dashboard", _CONNECT_S) or b""
        session = client.internal_kv_get(b"session_name", b"session", _CONNECT_S) or b""
    except AuthenticationError:
        raise FleetError(f"the Ray cluster at {address} refuses us: {TOKEN_WANTED}") from None
    except Exception as error:  # of several kinds, not all of them public
        raise FleetError(
            f"{address} does not answer as a Ray cluster of version {ray.__version__}: {one_line(error)}; "
            "name its dashboard, http://HEAD:8265"
        ) from None
    url = f"http://{place.decode()}"
    with suppress(OSError, ValueError, http.client.HTTPException):
        if _session(url) in ("", session.decode()):  # a cluster without one names the usual place
            return url
    raise FleetError(
        f"the Ray cluster at {address} has no dashboard, and so no Jobs API; start it without "
        "--include-dashboard=false, with ray[default] installed"
    )


def reason(error: BaseException) -> str:
    """The system's own words for why nothing answers."""
    inner = getattr(error, "reason", None) or error
    return str(getattr(inner, "strerror", None) or one_line(inner))

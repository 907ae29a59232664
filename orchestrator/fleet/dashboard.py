"""Finds the dashboard of a Ray cluster, which serves the Jobs API, from any address of the cluster."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from contextlib import suppress
from urllib.parse import urlsplit

import ray
from ray._private.utils import read_ray_address
from ray.exceptions import AuthenticationError

from orchestrator.errors import FleetError
from orchestrator.fleet.address import given
from orchestrator.fleet.cluster import TOKEN_REQUIRED, one_line

_CONNECT_S = 5.0


def cluster_address(address: str | None) -> tuple[str, str]:
    """Returns ``address``, else that of the environment, else that of the cluster that runs here.

    Returns:
        The address, and what to do if no cluster answers there.

    Raises:
        FleetError: there is none, or it holds a secret.
    """
    chosen, origin = given(address, "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    if chosen not in (None, "auto"):
        return chosen, f"correct {origin}"
    if not (noted := read_ray_address()):
        raise FleetError(
            "no Ray cluster runs here; name one with --address, or start one (`ray start --head`)"
        )
    return noted, "`ray start` left this address here: start that cluster again, or name one with --address"


def dashboard(address: str, remedy: str) -> str:
    """Returns the URL of the dashboard of the cluster at ``address``.

    Args:
        remedy: what to do if no cluster answers there.

    Raises:
        FleetError: no dashboard answers, or the cluster refuses this process.
    """
    url = address.rstrip("/") if "://" in address else f"http://{address}"
    if not _is_http(url):
        raise FleetError(f"{address} is no dashboard address, such as http://HEAD:8265; {remedy}")
    try:
        session = _session(url)
    except http.client.HTTPException:  # something answers, but not over HTTP
        if "://" not in address:
            return _dashboard_of_gcs(address)
        session = None
    except (OSError, ValueError) as error:
        raise FleetError(f"no Ray cluster at {address}: {reason(error)}; {remedy}") from None
    if session is None:
        raise FleetError(
            f"{address} answers, but not as Ray's Jobs API; name the dashboard of a cluster, http://HEAD:8265"
        )
    return url


def _is_http(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:  # not a URL, for example with an unclosed bracket
        return False


def _session(url: str) -> str | None:
    """Returns the session of a dashboard; "" if it requires a token, None if another service answers."""
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=_CONNECT_S) as answer:
            return str(json.load(answer)["session_name"])
    except urllib.error.HTTPError as error:
        with error:
            return "" if error.code in (401, 403) else None
    except (KeyError, TypeError, json.JSONDecodeError):
        return None


def _dashboard_of_gcs(address: str) -> str:
    """Returns the URL of the dashboard that the control service (GCS) at host:port names."""
    try:
        client = ray._raylet.GcsClient(address=address)
        host_port = client.internal_kv_get(b"dashboard", b"dashboard", _CONNECT_S) or b""
        session = client.internal_kv_get(b"session_name", b"session", _CONNECT_S) or b""
    except AuthenticationError:
        raise FleetError(f"the Ray cluster at {address} refuses us: {TOKEN_REQUIRED}") from None
    except Exception as error:  # of several classes, not all of them public
        raise FleetError(
            f"{address} does not answer as a Ray cluster of version {ray.__version__}: {one_line(error)}; "
            "name its dashboard, http://HEAD:8265"
        ) from None
    url = f"http://{host_port.decode()}"
    with suppress(OSError, ValueError, http.client.HTTPException):
        if _session(url) in ("", session.decode()):  # a cluster without a dashboard names the default address
            return url
    raise FleetError(
        f"the Ray cluster at {address} has no dashboard, and so no Jobs API; start it without "
        "--include-dashboard=false, with ray[default] installed"
    )


def reason(error: BaseException) -> str:
    """Returns the system's message on why nothing answers."""
    inner = getattr(error, "reason", None) or error
    return str(getattr(inner, "strerror", None) or one_line(inner))

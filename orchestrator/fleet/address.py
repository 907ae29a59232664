"""The address of a Ray cluster: where it was given, and whether anything answers there. Imports no Ray."""

from __future__ import annotations

import os
import socket
import sys

from orchestrator.addresses import RAY_TOKEN_VARIABLE, refusal
from orchestrator.errors import FleetError

_CONNECT_S = 5.0


def given(address: str | None, *variables: str) -> tuple[str | None, str]:
    """Returns the address of a cluster, and the option or the environment variable that gave it.

    Args:
        address: that of ``--address``; None or ``auto``: the first of ``variables`` that is set counts.

    Returns:
        The address and the name of its origin; (None, "") if there is none.

    Raises:
        FleetError: the address holds a secret.
    """
    options = {"--address": None if address == "auto" else address}
    options |= {name: os.environ.get(name) or None for name in variables}
    for origin, text in options.items():
        if text is not None:
            if reason := refusal(text, RAY_TOKEN_VARIABLE):
                raise FleetError(f"{origin}: {reason}")
            return text, origin
    return None, ""


def cluster_to_join(address: str | None) -> str | None:
    """Returns the address of the cluster to join: ``address``, else RAY_ADDRESS; None or ``auto`` if neither.

    Raises:
        FleetError: the address holds a secret, or nothing answers there.
    """
    target, origin = given(address, "RAY_ADDRESS")
    if target not in (None, "auto", "local") and (reason := unreachable(target)):
        without = "leave it out" if origin == "--address" else "unset it"
        raise FleetError(
            f"no Ray cluster at {target}: {reason}; correct {origin}, or {without} to run on this machine"
        )
    return target


def check_address(address: str | None) -> None:
    """Raises FleetError if ``joined`` would refuse the address, as far as is known without Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():  # else this process stays on the cluster that it has joined
        cluster_to_join(address)


def unreachable(address: str, within_s: float = _CONNECT_S) -> str:
    """Returns why nothing answers at host:port; "" if a connection succeeds. Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return "an address is host:port, as `ray start` prints it"
    try:
        socket.create_connection((host.strip("[]"), int(port)), within_s).close()
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""

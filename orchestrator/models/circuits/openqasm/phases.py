"""Gates of OpenQASM 3 whose global phase Qiskit's gates of the same name lack.

The phase is seen where the gate is controlled. The built-in U(θ, φ, λ) is e^(iθ/2) times Qiskit's since
version 3.0 of the language; u2 and u3 have e^(-i(φ+λ)/2) in all of its versions.
"""

from __future__ import annotations

from functools import cache

from openqasm3 import ast

from orchestrator.models.circuits.openqasm import parsing

SUFFIX = "_with_phase"
"""Of the names of the gates with their phase."""

_DEFINITIONS = f"""
gate U{SUFFIX}(theta, phi, lambda) q {{ gphase(theta/2); U(theta, phi, lambda) q; }}
gate u2{SUFFIX}(phi, lambda) q {{ gphase(-(phi+lambda)/2); u2(phi, lambda) q; }}
gate u3{SUFFIX}(theta, phi, lambda) q {{ gphase(-(phi+lambda)/2); u3(theta, phi, lambda) q; }}
"""


@cache
def library() -> dict[str, ast.QuantumGateDefinition]:
    """Their definitions, by name."""
    found = parsing.parse(_DEFINITIONS).statements
    return {node.name.name: node for node in found if isinstance(node, ast.QuantumGateDefinition)}

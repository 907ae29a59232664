"""Gates of OpenQASM 3 with a global phase that Qiskit's gates of the same name lack.

The phase has an effect where the gate is controlled. Since version 3.0 of the language, the built-in
U(θ, φ, λ) is e^(iθ/2) times Qiskit's. In all versions, u2 and u3 are e^(-i(φ+λ)/2) times Qiskit's.
"""

from __future__ import annotations

from functools import cache

from openqasm3 import ast

from orchestrator.models.circuits.openqasm import parsing

SUFFIX = "_with_phase"
"""Suffix of the names of the gates with their phase."""

_DEFINITIONS = f"""
gate U{SUFFIX}(theta, phi, lambda) q {{ gphase(theta/2); U(theta, phi, lambda) q; }}
gate u2{SUFFIX}(phi, lambda) q {{ gphase(-(phi+lambda)/2); u2(phi, lambda) q; }}
gate u3{SUFFIX}(theta, phi, lambda) q {{ gphase(-(phi+lambda)/2); u3(theta, phi, lambda) q; }}
"""


@cache
def library() -> dict[str, ast.QuantumGateDefinition]:
    """Returns the definitions of the gates with their phase, by name."""
    statements = parsing.parse(_DEFINITIONS).statements
    return {node.name.name: node for node in statements if isinstance(node, ast.QuantumGateDefinition)}

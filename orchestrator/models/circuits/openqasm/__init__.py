"""OpenQASM files, read into Qiskit circuits.

text ── parsing (3) or version2 (2) ──> syntax tree ── elaboration ──> plain tree ── importing ──> circuit
text ── simulation ──> state vector, for the certificate; shares only third-party parsers with the above
"""

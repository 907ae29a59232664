"""Quantum circuits as models: drawn from an ansatz, read from a file or a user's function."""

"""Gradients from measured expectation values: what a backend is asked, and what its answers give."""

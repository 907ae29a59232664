"""Gradients from measured expectation values: questions to a backend, and estimates from its answers."""
